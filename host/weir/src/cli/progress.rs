//! Progress in place, on a terminal only.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that is redrawn in place on standard error; nothing at all in a pipe.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of `total` bytes, or of an amount nobody knows.
    pub(crate) fn bytes(total: Option<u64>) -> Self {
        let style = match total {
            Some(_) => "{bar:32} {bytes:>10} of {total_bytes}  {bytes_per_sec:>12}  {msg}",
            None => "{spinner} {bytes:>10}  {bytes_per_sec:>12}  {msg}",
        };
        Self::new(total, style)
    }

    /// Of `total` records.
    pub(crate) fn records(total: u64) -> Self {
        Self::new(
            Some(total),
            "{prefix:<22} {bar:28} {human_pos:>9} of {human_len}  {msg}",
        )
    }

    fn new(total: Option<u64>, style: &str) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        if std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(12));
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        // The templates are ours: one that did not parse would fail the test below.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { bar }
    }

    pub(crate) fn prefix(self, prefix: &str) -> Self {
        self.bar.set_prefix(prefix.to_owned());
        self
    }

    pub(crate) fn set(&self, position: u64) {
        self.bar.set_position(position);
    }

    pub(crate) fn message(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Says something on standard error above the line; in a pipe, too.
    pub(crate) fn note(&self, line: &str) {
        self.bar.suspend(|| {
            use std::io::Write as _;
            // Standard error may be closed: then nobody wants to know.
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_parse() {
        for template in [
            "{bar:32} {bytes:>10} of {total_bytes}  {bytes_per_sec:>12}  {msg}",
            "{spinner} {bytes:>10}  {bytes_per_sec:>12}  {msg}",
            "{prefix:<22} {bar:28} {human_pos:>9} of {human_len}  {msg}",
        ] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
