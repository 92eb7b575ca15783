//! The `kinestream` command.

fn main() -> anyhow::Result<()> {
    kinestream::cli::main()
}
