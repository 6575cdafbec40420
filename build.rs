//! Tells the linker where libtorch lies, so that the built binary and every test find it without an environment
//! variable. `.cargo/config.toml` sets `LIBTORCH` to the folder that `make libtorch` fills; a user's own value wins.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    // Without this the linker drops libtorch_cpu as unused: torch's operators register themselves when it is loaded.
    println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
}
