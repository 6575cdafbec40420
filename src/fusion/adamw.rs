//! AdamW (Loshchilov and Hutter, ICLR 2019), with moments that can be written to a checkpoint.
//!
//! tch's own optimiser keeps its moments inside libtorch, where they cannot be read: a resumed run
//! could not give the same bits as an uninterrupted one.

use tch::{Device, Tensor};

use crate::cores;
use crate::error::Result;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The optimiser's state for a fixed list of parameters.
///
/// On a GPU, all parameters lie in one piece of memory, and so do their moments: a step is a dozen
/// kernels, where one parameter after the other would take a dozen each.
#[derive(Debug)]
pub struct AdamW {
    /// First moments, in the order of the parameters.
    first: Vec<Tensor>,
    /// Second moments, in the order of the parameters.
    second: Vec<Tensor>,
    /// Steps taken.
    step: i64,
    /// Factor of each parameter's rate.
    factors: Vec<f64>,
    weight_decay: f64,
    pieces: Option<Pieces>,
}

impl AdamW {
    /// Returns a fresh state for these parameters, all on one device. On a GPU it moves them into
    /// one piece of memory; tensors that share a parameter's see no difference.
    pub fn new(parameters: &[Tensor], weight_decay: f64) -> Self {
        let on_cpu = parameters.iter().all(|parameter| parameter.device() == Device::Cpu);
        Self::laid_out(parameters, weight_decay, !on_cpu)
    }

    fn laid_out(parameters: &[Tensor], weight_decay: f64, in_pieces: bool) -> Self {
        let zeros = || parameters.iter().map(|p| p.detach().zeros_like()).collect::<Vec<_>>();
        let (first, second) = (zeros(), zeros());
        let pieces = in_pieces.then(|| Pieces::of(parameters, &first, &second));
        AdamW { first, second, step: 0, factors: vec![1.0; parameters.len()], weight_decay, pieces }
    }

    /// Multiplies the rate of each parameter by its factor.
    #[must_use]
    pub fn with_factors(mut self, factors: Vec<f64>) -> Self {
        self.factors = factors;
        self
    }

    /// Returns the first and second moments of parameter `n`.
    pub fn moments(&self, n: usize) -> [&Tensor; 2] {
        [&self.first[n], &self.second[n]]
    }

    /// Returns how many steps were taken.
    pub fn steps(&self) -> i64 {
        self.step
    }

    /// Goes back to the state after `steps` steps, with moments in the order of the parameters.
    pub fn restore(&mut self, first: &[Tensor], second: &[Tensor], steps: i64) {
        let _no_grad = tch::no_grad_guard();
        let kept = self.first.iter_mut().zip(first).chain(self.second.iter_mut().zip(second));
        kept.for_each(|(kept, value)| kept.copy_(value));
        self.step = steps;
    }

    /// Takes one step at rate `lr`. A parameter with an undefined gradient (it took no part in the
    /// loss) is unchanged.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Internal`] if libtorch fails on another thread; on this thread
    /// it panics.
    pub fn step(&mut self, parameters: &mut [Tensor], gradients: &[Tensor], lr: f64) -> Result<()> {
        self.step += 1;
        let (step, weight_decay) = (self.step as i32, self.weight_decay);
        if let Some(pieces) = &self.pieces {
            pieces
                .updates(gradients, &self.factors, lr)
                .into_iter()
                .for_each(|update| update.apply(step, weight_decay));
            return Ok(());
        }
        let moments = self.first.iter().zip(&self.second);
        let of_each = parameters.iter().zip(gradients).zip(moments).zip(&self.factors);
        let updates: Vec<Update> = of_each
            .filter(|(((_, gradient), _), _)| gradient.defined())
            .map(|(((parameter, gradient), (first, second)), factor)| Update {
                parameter: parameter.shallow_clone(),
                gradient: gradient.shallow_clone(),
                first: first.shallow_clone(),
                second: second.shallow_clone(),
                lr: lr * factor,
            })
            .collect();
        let values: usize = updates.iter().map(|update| update.parameter.numel()).sum();
        if values >= WORTH_A_THREAD {
            let done = cores::map(updates, move |update| {
                update.apply(step, weight_decay);
                Ok(())
            });
            return done.map(drop);
        }
        updates.into_iter().for_each(|update| update.apply(step, weight_decay));
        Ok(())
    }
}

/// All parameters one after the other, and their moments.
#[derive(Debug)]
struct Pieces {
    parameters: Tensor,
    first: Tensor,
    second: Tensor,
    /// The number of values of each parameter.
    sizes: Vec<i64>,
}

impl Pieces {
    /// Moves parameters and moments into one piece of memory each.
    fn of(parameters: &[Tensor], first: &[Tensor], second: &[Tensor]) -> Self {
        let sizes = parameters.iter().map(|parameter| parameter.numel() as i64).collect();
        let [parameters, first, second] = [parameters, first, second].map(in_one_piece);
        Pieces { parameters, first, second, sizes }
    }

    /// Returns the updates of a step: one for all parameters or, where some have no gradient or
    /// another factor, one for all neighbours that do not differ in that.
    fn updates(&self, gradients: &[Tensor], factors: &[f64], lr: f64) -> Vec<Update> {
        let all: Vec<usize> = (0..self.sizes.len()).collect();
        let alike =
            |a: &usize, b: &usize| gradients[*a].defined() && gradients[*b].defined() && factors[*a] == factors[*b];
        let mut updates = Vec::new();
        let mut from = 0;
        for alike in all.chunk_by(alike) {
            let values = alike.iter().map(|n| self.sizes[*n]).sum();
            let gradients = &gradients[alike[0]..][..alike.len()];
            if gradients.iter().all(Tensor::defined) {
                let of = |all: &Tensor| all.narrow(0, from, values);
                let gradients: Vec<Tensor> = gradients.iter().map(|gradient| gradient.flatten(0, -1)).collect();
                updates.push(Update {
                    parameter: of(&self.parameters),
                    gradient: Tensor::cat(&gradients, 0),
                    first: of(&self.first),
                    second: of(&self.second),
                    lr: lr * factors[alike[0]],
                });
            }
            from += values;
        }
        updates
    }
}

/// Moves tensors into one piece of memory, one after the other, and returns it.
fn in_one_piece(tensors: &[Tensor]) -> Tensor {
    let _no_grad = tch::no_grad_guard();
    let flat: Vec<Tensor> = tensors.iter().map(|tensor| tensor.detach().flatten(0, -1)).collect();
    let all = Tensor::cat(&flat, 0);
    let mut from = 0;
    for tensor in tensors {
        let values = tensor.numel() as i64;
        tensor.shallow_clone().set_data(&all.narrow(0, from, values).view_as(tensor));
        from += values;
    }
    all
}

/// The number of values below which a step takes less time than starting a thread for it.
const WORTH_A_THREAD: usize = 1 << 19;

/// One parameter's part of a step. The tensors share the model's and the optimiser's memory.
struct Update {
    parameter: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    lr: f64,
}

impl Update {
    /// Applies step number `step`, from 1. Large tensors are bound by memory, so this goes over
    /// them as few times as libtorch allows.
    fn apply(self, step: i32, weight_decay: f64) {
        let _no_grad = tch::no_grad_guard();
        let Update { mut parameter, gradient, mut first, mut second, lr } = self;
        let correction_1 = 1.0 - BETA_1.powi(step);
        let correction_2 = 1.0 - BETA_2.powi(step);
        let _ = first.lerp_(&gradient, 1.0 - BETA_1);
        let _ = second.lerp_(&gradient.square(), 1.0 - BETA_2);
        if lr == 0.0 {
            return;
        }
        // -(sqrt(v / c2) + eps) c1 / lr: the moment divided by this is added to the parameter.
        let scale = -correction_1 / lr;
        let mut divisor = second.sqrt();
        let _ = divisor.g_mul_scalar_(scale / correction_2.sqrt()).g_add_scalar_(scale * EPSILON);
        // Decay is decoupled from the gradient: it is not divided by the second moment.
        let _ = parameter.g_mul_scalar_(1.0 - lr * weight_decay).addcdiv_(&first, &divisor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_or_many_make_the_same_steps() {
        tch::manual_seed(0);
        let shapes: [&[i64]; 5] = [&[4, 3], &[7], &[2, 2], &[5], &[1]];
        let values = shapes.map(|shape| Tensor::randn(shape, tch::kind::DOUBLE_CPU));
        let run = |in_pieces: bool| {
            let mut parameters = values.each_ref().map(|value| value.copy().set_requires_grad(true));
            let shared = parameters.each_ref().map(Tensor::shallow_clone);
            let mut optimiser =
                AdamW::laid_out(&parameters, 0.1, in_pieces).with_factors(vec![1.0, 1.0, 3.0, 3.0, 1.0]);
            for step in 1..4 {
                let gradients = values.each_ref().map(|value| (value * f64::from(step)).cos());
                let [a, b, _, d, e] = gradients;
                optimiser.step(&mut parameters, &[a, b, Tensor::new(), d, e], 0.1).unwrap();
            }
            // Moments of a checkpoint must reach the pieces, too.
            let moments: Vec<Tensor> = values.iter().map(|value| value.square()).collect();
            optimiser.restore(&moments, &moments, 9);
            optimiser.step(&mut parameters, &moments, 0.1).unwrap();
            assert_eq!((optimiser.steps(), parameters[1].requires_grad()), (10, true));
            let all = shared.iter().chain(&optimiser.first).chain(&optimiser.second);
            all.map(|tensor| tensor.detach().flatten(0, -1)).collect::<Vec<_>>()
        };
        let (many, one) = (run(false), run(true));
        assert!(!many[0].allclose(&values[0].flatten(0, -1), 1e-3, 1e-3, false), "it takes steps");
        assert!(many.iter().zip(&one).all(|(a, b)| a.allclose(b, 1e-12, 1e-12, false)), "{many:?}, {one:?}");
    }

    #[test]
    fn steps_are_the_formula() {
        let start = [0.5_f64, -0.25, 2.0];
        let mut parameters = [Tensor::from_slice(&start), Tensor::from_slice(&[1.0_f64])];
        let undefined = Tensor::new();
        let mut optimiser = AdamW::new(&parameters, 0.1).with_factors(vec![2.0, 1.0]);
        let (mut wanted, mut first, mut second) = (start, [0.0; 3], [0.0; 3]);
        for (step, lr) in [(1, 0.01), (2, 0.008), (3, 0.001), (4, 0.0)] {
            let gradient = [0.3 * f64::from(step), -4.0, 1e-6];
            let gradients = [Tensor::from_slice(&gradient), undefined.shallow_clone()];
            optimiser.step(&mut parameters, &gradients, lr).unwrap();
            for n in 0..3 {
                first[n] = 0.9 * first[n] + 0.1 * gradient[n];
                second[n] = 0.999 * second[n] + 0.001 * gradient[n] * gradient[n];
                let (m, v) = (first[n] / (1.0 - 0.9_f64.powi(step)), second[n] / (1.0 - 0.999_f64.powi(step)));
                wanted[n] -= 2.0 * lr * (0.1 * wanted[n] + m / (v.sqrt() + 1e-8));
            }
        }
        let got = Vec::<f64>::try_from(&parameters[0]).unwrap();
        assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-12), "{got:?}, not {wanted:?}");
        assert_eq!(parameters[1].double_value(&[0]), 1.0, "without a gradient it stays");
    }
}
