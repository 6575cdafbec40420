//! Tells the linker where libtorch lies, so that the built binary and every test find it without an environment
//! variable. `.cargo/config.toml` sets `LIBTORCH` to the folder that `make libtorch` fills; a user's own value wins.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        // Where the link `.libtorch` leads to, so that what `cargo install` made outlives this folder.
        let folder = std::fs::canonicalize(&libtorch).unwrap_or_else(|_| libtorch.into());
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}/lib", folder.display());
    }
    // Without this the linker drops libtorch_cpu as unused: torch's operators register themselves when it is loaded.
    println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
    // A program that is loaded anywhere has a list of the addresses to adjust: 4.5 MB, packed 50 kB.
    if loads_packed_relocations() {
        println!("cargo:rustc-link-arg=-Wl,-z,pack-relative-relocs");
    }
}

/// Returns whether the C library that this is built for, and will run with, is glibc 2.36 or newer, the first that
/// unpacks the list.
fn loads_packed_relocations() -> bool {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    if var("TARGET") != var("HOST") || var("CARGO_CFG_TARGET_OS") != "linux" || var("CARGO_CFG_TARGET_ENV") != "gnu" {
        return false;
    }
    let Ok(asked) = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let said = String::from_utf8_lossy(&asked.stdout);
    let version = said.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let number = |text: &str| text.split('.').next().and_then(|digits| digits.parse::<u32>().ok());
    match version.map(|(major, minor)| (number(major), number(minor))) {
        Some((Some(major), Some(minor))) => (major, minor) >= (2, 36),
        _ => false,
    }
}
