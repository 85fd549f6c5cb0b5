//! Control messages: CBOR maps in frames of their own.

mod codec;
mod connection;
mod produce;
mod start;
mod subscribe;

pub(crate) use codec::encode_body_into;
pub use codec::{ControlError, ControlMessage, decode_control, encode_control, encode_control_into};
pub use connection::{Goodbye, Hello, HelloOk};
pub use produce::{OpenProduce, ProduceOpened};
pub use start::Start;
pub use subscribe::{
    OpenSubscribe, PartitionStart, SubscribeControl, SubscribeOpened, SubscribeProgress, SubscribedPartition,
    SubscriptionFilter,
};
