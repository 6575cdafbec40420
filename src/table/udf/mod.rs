//! SQL functions over lists of numbers, such as logits.
//!
//! | function | gives |
//! |---|---|
//! | `mix(a, b, gamma)` | `gamma * a + (1 - gamma) * b` |
//! | `softmax(list, scale)` | `exp(scale * x)`, divided by its sum |
//! | `argmax(list)` | place of the largest element, from 0 |
//! | `max_of(list)` | the largest element |
//! | `margin(list)` | the largest less the second largest |
//! | `entropy(list)` | `-sum p ln p`, in nats |
//! | `top_k(list, k)` | places of the k largest, best first |
//! | `cosine(a, b)` | cosine of the angle between two lists |
//! | `class_name(class_id)` | the name of a class of the session's dataset |
//!
//! Null in, null out. Of equal elements the first wins. NaN, and null as an element, is never largest; a function that needs
//! all elements (`softmax`, `entropy`, `cosine`) gives NaN where one of them is. Lists of different lengths are an error. An
//! empty list has no argmax, maximum, margin, entropy or cosine: null. A class that there is not has no name: null.

mod class_name;
mod cosine;
mod lists;
mod mix;
mod reduce;
mod softmax;
mod top_k;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::ScalarUDF;

/// Makes all functions known to a session.
pub fn register(ctx: &SessionContext) {
    for function in functions() {
        ctx.register_udf(function);
    }
}

/// Makes `class_name` known to a session about one dataset; `names` are those of its classes, by their ids.
pub fn register_class_name(ctx: &SessionContext, names: Vec<String>) {
    ctx.register_udf(ScalarUDF::from(class_name::ClassName::new(names)));
}

/// All functions over lists.
pub fn functions() -> Vec<ScalarUDF> {
    let mut functions = vec![
        ScalarUDF::from(mix::Mix::new()),
        ScalarUDF::from(softmax::Softmax::new()),
        ScalarUDF::from(cosine::Cosine::new()),
        ScalarUDF::from(top_k::TopK::new()),
    ];
    functions.extend(reduce::Reduce::all().map(ScalarUDF::from));
    functions
}
