use super::Instance;
use super::live::{Which, shorten};
use crate::CallError;

impl Instance {
    /// The version of the keyed state that the plugin reads and writes; 0 if it [does not say](crate::Plugin::has_state_schema).
    ///
    /// # Errors
    ///
    /// [`CallError::Trap`], [`CallError::Deadline`], [`CallError::Memory`].
    pub fn state_version(&mut self) -> Result<u32, CallError> {
        if !self.plugin.has_state_schema() {
            return Ok(0);
        }
        let version = self.guest_call_of(Which::Version, 0, None, |version, store| {
            let version = version.typed::<(), (u32,)>(&*store)?;
            Ok(version.call(store, ())?.0)
        });
        self.settle(version)
    }

    /// One step of migrating state of version `from`, which the caller has [given](Self::set_state): on from `after`, what the step before
    /// gave. Where the next one goes on; none when everything is migrated. The clock shows `now_ms`.
    ///
    /// # Errors
    ///
    /// [`CallError::Migrate`] when the plugin refuses the state, or knows no versions of it; [`CallError::CursorTooLarge`],
    /// [`CallError::BadOutput`] for a place that is no use; otherwise as with the other calls. What the step changed must be dropped then.
    pub fn migrate(
        &mut self,
        from: u32,
        after: Option<&[u8]>,
        now_ms: i64,
    ) -> Result<Option<Vec<u8>>, CallError> {
        if !self.plugin.has_state_schema() {
            let message = format!("it knows no versions of its state, and this has version {from}");
            return Err(CallError::Migrate { message });
        }
        let called = self.guest_call_of(Which::Migrate, now_ms, None, |migrate, store| {
            type Next = Result<Option<Vec<u8>>, String>;
            let migrate = migrate.typed::<(u32, Option<&[u8]>), (Next,)>(&*store)?;
            Ok(migrate.call(store, (from, after))?.0)
        });
        let limit = self.limits.cursor_bytes_max;
        let checked = called.and_then(|next| match next {
            Err(message) => Err(CallError::Migrate {
                message: shorten(&message),
            }),
            Ok(Some(next)) if next.len() > limit => Err(CallError::CursorTooLarge {
                bytes: next.len(),
                limit,
            }),
            Ok(Some(next)) if after == Some(next.as_slice()) => Err(CallError::BadOutput {
                reason: "a step of the migration ends where the one before it ended, and would be repeated for ever".to_owned(),
            }),
            Ok(next) => Ok(next),
        });
        self.settle(checked)
    }
}
