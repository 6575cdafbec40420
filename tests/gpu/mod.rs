//! What the program asks of a GPU, on machines without one: the real binary on a stand-in for CUDA
//! (`stand_in/`), which computes on the host and counts.
//!
//! It says nothing of speed and memory, and its kernels are the CPU's; `benches/gpu.sh` is for
//! machines with a GPU.

mod agreement;
mod devices;
mod stand_in;
mod steps;
mod unopened;
