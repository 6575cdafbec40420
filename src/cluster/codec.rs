//! How the node travels between driver, scheduler and executors, and functions that have more to
//! them than a name.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::plan_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use super::node::UnitsExec;
use crate::table::udf;

/// What stands before a node of ours: its order follows as UTF-8.
const OURS: u8 = 1;

/// What stands before a node of Ballista's, which come the same way.
const THEIRS: u8 = 0;

/// The function that names classes.
const CLASS_NAME: &str = "class_name";

/// Writes and reads the node, and leaves others to Ballista.
#[derive(Debug, Default)]
pub(super) struct Codec(BallistaPhysicalExtensionCodec);

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (bytes.split_first(), inputs) {
            (Some((&OURS, order)), [input]) => {
                let order = std::str::from_utf8(order).map_err(|e| DataFusionError::External(Box::new(e)))?;
                Ok(Arc::new(UnitsExec::new(order.into(), input.clone())))
            }
            (Some((&THEIRS, rest)), _) => self.0.try_decode(rest, inputs, context, converter),
            _ => Err(DataFusionError::Internal("a plan has a node that this version does not know".to_owned())),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        match node.downcast_ref::<UnitsExec>() {
            Some(ours) => {
                bytes.push(OURS);
                bytes.extend_from_slice(ours.order().as_bytes());
                Ok(())
            }
            None => {
                bytes.push(THEIRS);
                self.0.try_encode(node, bytes, converter)
            }
        }
    }

    /// Writes the names of classes; other functions are known by their names.
    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> Result<()> {
        if let Some(names) = udf::names_of(function) {
            let written = serde_json::to_vec(names).map_err(|e| DataFusionError::External(Box::new(e)))?;
            bytes.extend_from_slice(&written);
        }
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        if name != CLASS_NAME {
            return plan_err!("there is no function {name} here: all processes of a cluster are of one version");
        }
        let names: Vec<String> = serde_json::from_slice(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(Arc::new(udf::class_name(names)))
    }
}
