//! The client against a broker that says what each test tells it to say.

mod administering;
mod connecting;
mod consuming;
mod producing;
mod retrying;
mod seeking;
mod support;
