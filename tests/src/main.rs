//! The `weir` command line, built for the tests of this package.

fn main() -> std::process::ExitCode {
    weir::cli::main()
}
