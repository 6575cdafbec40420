//! How much memory of GPUs is used, as NVIDIA's driver says it: libtorch's binding has no question
//! for that.

#[cfg(feature = "cluster")]
use std::sync::OnceLock;

#[cfg(feature = "cluster")]
use nvml_wrapper::Nvml;

/// The driver's library, by the name that it has without the files for developers.
#[cfg(feature = "cluster")]
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The memory of a GPU, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuMemory {
    /// The GPU's identity, as `nvidia-smi -L` and `CUDA_VISIBLE_DEVICES` have it.
    pub gpu: String,
    /// What all processes use.
    pub used: u64,
    /// What there is.
    pub total: u64,
}

/// Returns the memory of all GPUs of this machine, whether or not CUDA shows them to this process;
/// of none where there is no driver.
#[cfg(feature = "cluster")]
pub fn gpu_memory() -> Vec<GpuMemory> {
    static DRIVER: OnceLock<Option<Nvml>> = OnceLock::new();
    let driver = DRIVER.get_or_init(|| Nvml::builder().lib_path(LIBRARY.as_ref()).init().ok());
    let Some(driver) = driver else { return Vec::new() };
    let one = |number: u32| {
        let device = driver.device_by_index(number).ok()?;
        let memory = device.memory_info().ok()?;
        Some(GpuMemory { gpu: device.uuid().ok()?, used: memory.used, total: memory.total })
    };
    (0..driver.device_count().unwrap_or(0)).filter_map(one).collect()
}

/// Returns nothing: only executors of clusters say it, and this program was built without them.
#[cfg(not(feature = "cluster"))]
pub fn gpu_memory() -> Vec<GpuMemory> {
    Vec::new()
}
