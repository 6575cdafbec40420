//! The method on tensors: saliency, SOAP, TokenFusion, heads, loss.
