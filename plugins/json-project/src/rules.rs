use weir_json::{Colon, Endings, Text, write_string};
use weir_plugin::Config;

/// What becomes of an object's members: rules by name, nested like the objects. There are few: a list is searched faster than a map.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<(String, Rule)>,
    /// Only members with `Rule::kept` stay.
    only_kept: bool,
    /// Of the names with rules.
    endings: Endings,
}

/// What becomes of one member.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    pub(crate) dropped: bool,
    pub(crate) masked: bool,
    /// The new name with its quotes.
    pub(crate) renamed: Option<Vec<u8>>,
    pub(crate) inner: Rules,
    kept: bool,
}

impl Rules {
    pub(crate) fn configure(config: &Config) -> Result<Self, String> {
        let mut rules = Self::default();
        for path in config.list("keep") {
            rules.keep(path)?;
        }
        for path in config.list("drop") {
            rules.rule(path)?.dropped = true;
        }
        for path in config.list("mask") {
            rules.rule(path)?.masked = true;
        }
        for renaming in config.list("rename") {
            let (path, name) = renaming
                .split_once('=')
                .ok_or_else(|| format!("`rename` cannot be {renaming:?}: it is old=new, comma-separated"))?;
            let mut renamed = Vec::new();
            write_string(&mut renamed, name.trim().as_bytes());
            rules.rule(path.trim())?.renamed = Some(renamed);
        }
        if rules.rules.is_empty() {
            return Err("nothing to do: set `keep`, `drop`, `mask` or `rename`".to_owned());
        }
        rules.settle();
        Ok(rules)
    }

    /// The rule for a member, if there is one.
    #[inline]
    pub(crate) fn of(&self, name: Text<'_>) -> Option<&Rule> {
        self.rules
            .iter()
            .find(|(rule, _)| name.is(rule.as_bytes()))
            .map(|(_, rule)| rule)
    }

    /// The rule for the member of this colon, and where that begins, if there is one.
    #[inline(always)]
    pub(crate) fn at(&self, colon: &Colon<'_>) -> Option<(&Rule, usize)> {
        let mut rules = self.rules.iter();
        rules.find_map(|(name, rule)| Some((rule, colon.start_of(name.as_bytes())?)))
    }

    /// What the names with rules end with.
    #[inline]
    pub(crate) fn endings(&self) -> Endings {
        self.endings
    }

    /// Whether members without a rule stay.
    #[inline]
    pub(crate) fn others_stay(&self) -> bool {
        !self.only_kept
    }

    fn rule(&mut self, path: &str) -> Result<&mut Rule, String> {
        let (name, inner) = match path.split_once('.') {
            Some((name, inner)) => (name, Some(inner)),
            None => (path, None),
        };
        if name.is_empty() || inner == Some("") {
            return Err(format!("{path:?} is no field: a name is empty"));
        }
        let index = match self.rules.iter().position(|(rule, _)| rule == name) {
            Some(index) => index,
            None => {
                self.rules.push((name.to_owned(), Rule::default()));
                self.rules.len() - 1
            }
        };
        let rule = &mut self.rules[index].1;
        match inner {
            Some(inner) => rule.inner.rule(inner),
            None => Ok(rule),
        }
    }

    /// Keeps a field, and the objects on the way to it.
    fn keep(&mut self, path: &str) -> Result<(), String> {
        self.only_kept = true;
        match path.split_once('.') {
            None => self.rule(path)?.kept = true,
            Some((name, inner)) => {
                let rule = self.rule(name)?;
                rule.kept = true;
                rule.inner.keep(inner)?;
            }
        }
        Ok(())
    }

    /// Where only some members stay, those that other rules name and `keep` does not are dropped.
    fn settle(&mut self) {
        for (_, rule) in &mut self.rules {
            rule.dropped |= self.only_kept && !rule.kept;
            rule.inner.settle();
        }
        self.endings = Endings::of(self.rules.iter().map(|(name, _)| name.as_bytes()));
    }
}

impl Rule {
    /// Whether a member that stays is not as it was.
    #[inline]
    pub(crate) fn changes(&self) -> bool {
        self.masked || self.renamed.is_some() || self.has_inner()
    }

    #[inline]
    pub(crate) fn has_inner(&self) -> bool {
        !self.inner.rules.is_empty()
    }
}
