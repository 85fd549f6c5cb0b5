use std::cmp::Ordering;

use weir_json::{Kind, Value, parse_number};
use weir_plugin::Config;

/// What is asked of a field.
#[derive(Debug)]
pub(crate) enum Comparison {
    Exists,
    Missing,
    Contains(Operand),
    Order(Operand, Orders),
}

/// Which ways of comparing are right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    less: bool,
    equal: bool,
    greater: bool,
}

/// The configured value, in both its readings.
#[derive(Debug)]
pub(crate) struct Operand {
    text: Vec<u8>,
    number: Option<f64>,
}

impl Comparison {
    pub(crate) fn configure(config: &Config) -> Result<Self, String> {
        let op = config.get("op").unwrap_or("eq");
        let orders = |less, equal, greater| Orders { less, equal, greater };
        let orders = match op {
            "exists" | "missing" => {
                if config.get("value").is_some() {
                    return Err(format!("`value` means nothing to `{op}`"));
                }
                return Ok(if op == "exists" {
                    Self::Exists
                } else {
                    Self::Missing
                });
            }
            "contains" => return Ok(Self::Contains(Operand::configure(config)?)),
            "eq" => orders(false, true, false),
            "ne" => orders(true, false, true),
            "lt" => orders(true, false, false),
            "le" => orders(true, true, false),
            "gt" => orders(false, false, true),
            "ge" => orders(false, true, true),
            _ => {
                return Err(format!(
                    "`op` cannot be {op:?}: it is one of eq, ne, lt, le, gt, ge, contains, exists, missing"
                ));
            }
        };
        Ok(Self::Order(Operand::configure(config)?, orders))
    }

    #[inline]
    pub(crate) fn holds(&self, found: Option<Value<'_>>) -> bool {
        match (self, found) {
            (Self::Exists, found) => found.is_some(),
            (Self::Missing, found) => found.is_none(),
            (_, None) => false,
            (Self::Contains(operand), Some(value)) => operand.is_in(value),
            (Self::Order(operand, orders), Some(value)) => match operand.order_with(value) {
                Some(ordering) => orders.include(ordering),
                // A null is neither before nor after a number: what has no order with the value is not kept for it.
                None => !orders.is_ordering() && orders.include(operand.compare(value)),
            },
        }
    }
}

impl Orders {
    /// Whether this is one of `lt`, `le`, `gt` and `ge`, and not `eq` or `ne`.
    fn is_ordering(self) -> bool {
        self.less != self.greater
    }

    #[inline]
    fn include(self, ordering: Ordering) -> bool {
        match ordering {
            Ordering::Less => self.less,
            Ordering::Equal => self.equal,
            Ordering::Greater => self.greater,
        }
    }
}

impl Operand {
    fn configure(config: &Config) -> Result<Self, String> {
        let text = config.required("value")?;
        Ok(Self {
            text: text.as_bytes().to_vec(),
            number: parse_number(text.as_bytes()),
        })
    }

    /// How the field's value stands to the operand, if there is an order between them: numbers have one with numbers, strings with text.
    #[inline]
    fn order_with(&self, value: Value<'_>) -> Option<Ordering> {
        match (value.kind(), self.number) {
            // Both come from JSON's grammar, which has no NaN.
            (Kind::Number, Some(number)) => value.number()?.partial_cmp(&number),
            (Kind::String, None) => Some(self.compare(value)),
            _ => None,
        }
    }

    /// How the field's value stands to the operand: as numbers if both are, otherwise as text.
    fn compare(&self, value: Value<'_>) -> Ordering {
        if let (Some(left), Some(right)) = (value.number(), self.number) {
            // Both come from JSON's grammar, which has no NaN.
            return left.partial_cmp(&right).unwrap_or(Ordering::Equal);
        }
        match value.text() {
            Some(text) => (*text.unescaped()).cmp(self.text.as_slice()),
            None => value.raw().cmp(self.text.as_slice()),
        }
    }

    fn is_in(&self, value: Value<'_>) -> bool {
        match value.kind() {
            Kind::Array => value
                .elements()
                .into_iter()
                .flatten()
                .flatten()
                .any(|element| self.compare(element).is_eq()),
            Kind::String => value
                .text()
                .is_some_and(|text| is_part(&text.unescaped(), &self.text)),
            _ => false,
        }
    }
}

fn is_part(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
