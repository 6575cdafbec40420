//! Implements SQL functions over lists of numbers, such as logits.
//!
//! | function | returns |
//! |---|---|
//! | `add(a, b)` | `a + b`, element by element |
//! | `mix(a, b, gamma)` | `gamma * a + (1 - gamma) * b` |
//! | `softmax(list, scale)` | `exp(scale * x)`, divided by its sum |
//! | `argmax(list)` | index of the largest element, from 0 |
//! | `max_of(list)` | the largest element |
//! | `margin(list)` | the largest minus the second largest |
//! | `entropy(list)` | `-sum p ln p`, in nats |
//! | `top_k(list, k)` | indices of the k largest, best first |
//! | `cosine(a, b)` | cosine of the angle between two lists |
//! | `best_per_class(image_id, list, k)` | an aggregate: the k pictures in whose lists a class is largest |
//! | `class_name(class_id)` | the name of a class of the session's dataset |
//!
//! Null in, null out. Of equal elements the first wins. A NaN or null element is never the largest;
//! a function that needs all elements (`softmax`, `entropy`, `cosine`) returns NaN if one of them
//! is NaN or null. Lists of different lengths are an error. The argmax, maximum, margin, entropy
//! and cosine of an empty list are null, and so is the name of an unknown class.

mod add;
mod best_per_class;
mod class_name;
mod cosine;
mod lists;
mod mix;
mod reduce;
mod softmax;
mod top_k;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Registers all functions with a session.
pub fn register(ctx: &SessionContext) {
    for function in functions() {
        ctx.register_udf(function);
    }
    for function in aggregates() {
        ctx.register_udaf(function);
    }
}

/// Registers `class_name` with a session about one dataset; `names` are the names of its classes,
/// by class id.
pub fn register_class_name(ctx: &SessionContext, names: Vec<String>) {
    ctx.register_udf(class_name(names));
}

/// Returns `class_name` for these names of classes, by class id.
pub fn class_name(names: Vec<String>) -> ScalarUDF {
    ScalarUDF::from(class_name::ClassName::new(names))
}

/// Returns the names that a function knows, if it is `class_name`: it does not travel by its name
/// alone.
pub fn names_of(function: &ScalarUDF) -> Option<&[String]> {
    function.inner().downcast_ref::<class_name::ClassName>().map(class_name::ClassName::names)
}

/// Returns all aggregates.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![AggregateUDF::from(best_per_class::BestPerClass::new())]
}

/// Returns all functions over lists.
pub fn functions() -> Vec<ScalarUDF> {
    let mut functions = vec![
        ScalarUDF::from(add::Add::new()),
        ScalarUDF::from(mix::Mix::new()),
        ScalarUDF::from(softmax::Softmax::new()),
        ScalarUDF::from(cosine::Cosine::new()),
        ScalarUDF::from(top_k::TopK::new()),
    ];
    functions.extend(reduce::Reduce::all().map(ScalarUDF::from));
    functions
}
