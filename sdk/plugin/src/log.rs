//! Lines for whoever runs the flow: [`info!`](crate::info), [`warn!`](crate::warn!), [`error!`](crate::error) and
//! [`debug!`](crate::debug), written like `println!`.
//!
//! The host cuts long lines and leaves lines out when there are too many. A line for each record is too many.

use std::fmt;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For who looks for a bug.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    Warn,
    /// What went wrong.
    Error,
    /// The last words before a panic stops the plugin.
    Critical,
}

/// Logs a line. The macros are shorter.
pub fn log(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => write(level, text),
        None => write(level, &message.to_string()),
    }
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, text: &str) {
    use crate::bindings::filter::weir::plugin::log as host;
    let level = match level {
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
        Level::Critical => host::Level::Critical,
    };
    host::log(level, text);
}

/// In a plugin's own tests lines go where tests look for them.
#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, text: &str) {
    eprintln!("{level:?}: {text}");
}

/// Logs a line for who looks for a bug, written like `println!`.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)+) => { $crate::log::log($crate::log::Level::Debug, ::std::format_args!($($arg)+)) };
}

/// Logs what happens, written like `println!`.
#[macro_export]
macro_rules! info {
    ($($arg:tt)+) => { $crate::log::log($crate::log::Level::Info, ::std::format_args!($($arg)+)) };
}

/// Logs what should not happen, written like `println!`.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)+) => { $crate::log::log($crate::log::Level::Warn, ::std::format_args!($($arg)+)) };
}

/// Logs what went wrong, written like `println!`.
#[macro_export]
macro_rules! error {
    ($($arg:tt)+) => { $crate::log::log($crate::log::Level::Error, ::std::format_args!($($arg)+)) };
}
