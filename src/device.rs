//! Where tensors live, in which precision, and what happens when libtorch fails.
//!
//! The binary is linked against libtorch's CPU libraries only. CUDA is opened at run time where it is found, before the
//! first tensor is made, so that one binary serves machines with and without a GPU.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;

use tch::{Device, Kind as Number};

use crate::error::{Error, Kind, Result};

/// Which device the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, or an error that says why there is none.
    Cuda,
}

/// The number type of the frozen tower's forward pass. Part of a space: features of another precision are other features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32-bit floats everywhere.
    #[default]
    Fp32,
    /// bfloat16 weights and activations; features are stored as 32-bit floats all the same.
    Bf16,
}

impl Precision {
    /// The number type of tensors in this precision.
    pub fn number(self) -> Number {
        match self {
            Precision::Fp32 => Number::Float,
            Precision::Bf16 => Number::BFloat16,
        }
    }

    /// The name it has in a pipeline file and in a space.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// Why CUDA cannot be used, or `Ok` where it can. Opens CUDA's libraries at the first call.
///
/// # Errors
/// What was looked for and where, in words.
pub fn cuda() -> std::result::Result<(), String> {
    static STATE: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    STATE
        .get_or_init(|| {
            let path = cuda_library()?;
            open_globally(&path)?;
            if tch::Cuda::is_available() {
                Ok(())
            } else {
                Err(format!("{} was opened, but no GPU answers; does nvidia-smi list one?", path.display()))
            }
        })
        .clone()
}

/// `libtorch_cuda.so`: in `MICROCLIP_CUDA_LIBS`, or beside the libtorch that this process runs on.
fn cuda_library() -> std::result::Result<PathBuf, String> {
    const NAME: &str = "libtorch_cuda.so";
    if let Some(folder) = std::env::var_os("MICROCLIP_CUDA_LIBS") {
        let path = PathBuf::from(folder).join(NAME);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("MICROCLIP_CUDA_LIBS has no {NAME}: {}", path.display()))
        };
    }
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|e| format!("cannot read /proc/self/maps: {e}"))?;
    let cpu =
        maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).find(|p| p.ends_with("libtorch_cpu.so"));
    let folder = cpu.and_then(|p| PathBuf::from(p).parent().map(PathBuf::from)).unwrap_or_default();
    let path = folder.join(NAME);
    if path.is_file() { Ok(path) } else { Err(format!("no {NAME} in {}: `make cuda` fetches it", folder.display())) }
}

/// Opens a library so that its symbols and static initialisers are seen by the libtorch already loaded.
#[allow(unsafe_code)]
fn open_globally(path: &std::path::Path) -> std::result::Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: libtorch_cuda's initialisers only register operators; nothing has used torch yet.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    // It must stay for as long as the process: torch keeps pointers into it.
    std::mem::forget(library);
    Ok(())
}

/// The device to use for `choice`.
///
/// # Errors
/// [`Kind::Torch`] where CUDA was asked for and cannot be used.
pub fn resolve(choice: DeviceChoice) -> Result<Device> {
    match (choice, choice != DeviceChoice::Cpu) {
        (DeviceChoice::Cuda, _) => cuda()
            .map(|()| Device::Cuda(0))
            .map_err(|why| Error::new(Kind::Torch, format!("no GPU: {why}")).hint("--device cpu works everywhere")),
        (_, true) if cuda().is_ok() => Ok(Device::Cuda(0)),
        _ => Ok(Device::Cpu),
    }
}

/// Sets the number of threads of libtorch's kernels; 0 leaves one per core.
pub fn set_threads(threads: usize) {
    let threads = if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads };
    tch::set_num_threads(threads as i32);
}

/// Runs work on tensors, turning libtorch's C++ exceptions into errors.
///
/// tch's operators panic where libtorch throws (out of memory, a device lost). Shapes are checked before they get here,
/// so such a panic is the machine's doing, and the user is owed a message, not a back-trace.
///
/// # Errors
/// [`Kind::Torch`] with libtorch's first line; whatever `work` returns.
pub fn guarded<T>(doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown failure");
            let line = text.lines().next().unwrap_or(text);
            let error = Error::new(Kind::Torch, format!("{doing}: {line}"));
            Err(if text.contains("out of memory") || text.contains("DefaultCPUAllocator") {
                error.hint("a smaller embed.batch or adapt.batch needs less memory")
            } else {
                error
            })
        }
    }
}
