use crate::log::{Level, log};

/// Makes a panic say what it is before it traps: the host gives the line as the reason.
pub fn install() {
    std::panic::set_hook(Box::new(|panic| log(Level::Critical, format_args!("{panic}"))));
}
