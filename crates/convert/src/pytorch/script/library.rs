//! The archive: its code by name, its tensors.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::parse::parse;
use super::syntax::{Class, File, Function};
use super::{FORMAT, damaged};
use crate::archive::Archive;
use crate::input::Source;
use crate::pytorch::pickle::Pickle;
use crate::pytorch::weight::Storage;
use crate::{ConvertError, Limits};

/// The name of a file, and what was found in it.
type Found<T> = (Rc<str>, Rc<T>);

/// An archive that `torch.jit.save` wrote.
#[derive(Debug)]
pub(super) struct Library {
    archive: Arc<Archive>,
    /// What stands before all names in it: a folder with `/` at its end.
    root: String,
    limits: Limits,
    files: RefCell<HashMap<String, Rc<File>>>,
}

impl Library {
    pub(super) fn open(source: &Source, limits: &Limits) -> Result<Library, ConvertError> {
        let archive = Archive::open(source.file()?, FORMAT, limits)?;
        let names = archive.names();
        let root = names.iter().find_map(|name| name.strip_suffix("constants.pkl"));
        let root =
            root.ok_or_else(|| damaged("the archive", "it has no constants.pkl"))?.to_owned();
        let has_code = names.iter().any(|name| name.starts_with(&format!("{root}code/")));
        let is_mobile = archive.contains(&format!("{root}bytecode.pkl"));
        if !has_code && is_mobile {
            let message = "it has bytecode for mobile devices and no source code; save the module \
                           with `torch.jit.save(module, \"model.pt\")`, before it is saved for the \
                           lite interpreter";
            return Err(damaged("the archive", message));
        }
        let order = format!("{root}byteorder");
        if archive.contains(&order) && archive.read_text(&order)?.trim() != "little" {
            let message = "its tensors are big-endian; save it on a little-endian machine";
            return Err(damaged("the archive", message));
        }
        Ok(Library {
            archive: Arc::new(archive),
            root,
            limits: limits.clone(),
            files: RefCell::default(),
        })
    }

    /// `data.pkl` or `constants.pkl`.
    pub(super) fn pickle(&self, name: &str) -> Result<Pickle, ConvertError> {
        let name = format!("{}{name}.pkl", self.root);
        if !self.archive.contains(&name) {
            return Err(damaged("the archive", format!("it has no '{name}'")));
        }
        Pickle::read(&self.archive.read(&name)?, &self.limits)
    }

    /// The elements of a tensor of `data.pkl` or `constants.pkl`.
    pub(super) fn storage(&self, pickle: &str, key: &str) -> Result<Storage, ConvertError> {
        let names = [format!("{}{pickle}/{key}", self.root), format!("{}tensors/{key}", self.root)];
        match names.iter().find(|name| self.archive.contains(name)) {
            Some(name) => Ok(Storage::Entry(Arc::clone(&self.archive), name.clone())),
            None => Err(damaged("the archive", format!("it has no '{}'", names[0]))),
        }
    }

    /// The version of the operators that the code was written for.
    pub(super) fn version(&self) -> String {
        let text = self.archive.read_text(&format!("{}version", self.root));
        text.map_or(String::new(), |text| text.trim().to_owned())
    }

    /// A class by its full name: `__torch__.torch.nn.modules.conv.Conv2d`.
    pub(super) fn class(&self, name: &str) -> Result<Option<Rc<Class>>, ConvertError> {
        let Some((file, name)) = self.file_of(name)? else { return Ok(None) };
        Ok(file.1.classes.iter().find(|class| class.name == name).cloned())
    }

    /// A function by its full name, and the file it stands in.
    pub(super) fn function(&self, name: &str) -> Result<Option<Found<Function>>, ConvertError> {
        let Some(((path, file), name)) = self.file_of(name)? else { return Ok(None) };
        let found = file.functions.iter().find(|function| function.name == name);
        Ok(found.map(|function| (path, Rc::clone(function))))
    }

    /// Name of the file that a class or function with this full name stands in, for people.
    pub(super) fn file_name(name: &str) -> String {
        let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
        format!("code/{}.py", module.replace('.', "/"))
    }

    /// The file that something stands in, and the rest of its name.
    fn file_of<'n>(&self, name: &'n str) -> Result<Option<(Found<File>, &'n str)>, ConvertError> {
        let Some((_, last)) = name.rsplit_once('.') else { return Ok(None) };
        let path = Library::file_name(name);
        if let Some(file) = self.files.borrow().get(&path) {
            return Ok(Some(((path.as_str().into(), Rc::clone(file)), last)));
        }
        let entry = format!("{}{path}", self.root);
        if !self.archive.contains(&entry) {
            return Ok(None);
        }
        let text = self.archive.read_text(&entry)?;
        let file = parse(&text)
            .map_err(|fault| damaged(&format!("'{path}', line {}", fault.line), fault.message))?;
        let file = Rc::new(file);
        self.files.borrow_mut().insert(path.clone(), Rc::clone(&file));
        Ok(Some(((path.as_str().into(), file), last)))
    }
}
