//! The `kinestream` command.

fn main() -> anyhow::Result<std::process::ExitCode> {
    kinestream::cli::main()
}
