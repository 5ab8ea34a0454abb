//! A folder of secrets that is written as kubelet writes a mounted volume, or worse.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files by their names.
pub type Files = Vec<(&'static str, Vec<u8>)>;

/// A folder whose files point through `..data` to the newest generation; it goes when dropped.
pub struct Volume {
    folder: PathBuf,
    generation: AtomicUsize,
}

impl Volume {
    /// A volume with these files as its first generation.
    pub fn new(files: &Files) -> Self {
        let folder = std::env::temp_dir().join(format!("vicar-volume-{:x}", fastrand::u64(..)));
        fs::create_dir_all(&folder).expect("a folder");
        let volume = Self { folder, generation: AtomicUsize::new(0) };
        volume.swap(files);
        for (name, _) in files {
            symlink(format!("..data/{name}"), volume.folder.join(name)).expect("a link");
        }
        volume
    }

    /// The next generation: a folder of its own, to which `..data` points from one moment to the next.
    pub fn swap(&self, files: &Files) {
        let number = self.generation.fetch_add(1, Ordering::Relaxed);
        let generation = format!("..2026_11_21_10_00_00.{number}");
        fs::create_dir(self.folder.join(&generation)).expect("a generation");
        for (name, content) in files {
            fs::write(self.folder.join(&generation).join(name), content).expect("writes");
        }
        let data = self.folder.join("..data");
        let before = fs::read_link(&data);
        let next = self.folder.join("..data_tmp");
        symlink(generation, &next).expect("a link");
        fs::rename(next, &data).expect("swaps");
        if let Ok(before) = before {
            fs::remove_dir_all(self.folder.join(before)).expect("removes");
        }
    }

    /// Where a file is for whoever reads it.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// `{ file: … }`, as a configuration refers to a file here.
    pub fn reference(&self, name: &str) -> String {
        format!("{{ file: '{}' }}", self.path(name))
    }

    /// Makes an ordinary file of it, whole from the first moment.
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let next = self.folder.join("next");
        fs::write(&next, content).expect("writes");
        self.remove(name);
        fs::rename(next, self.folder.join(name)).expect("swaps");
    }

    /// Writes it in place: empty, then half of it, then whole; `between` is called in each state.
    pub async fn write_slowly(&self, name: &str, content: &[u8], mut between: impl AsyncFnMut()) {
        self.replace(name, "");
        between().await;
        fs::write(self.folder.join(name), &content[..content.len() / 2]).expect("writes");
        between().await;
        fs::write(self.folder.join(name), content).expect("writes");
    }

    /// Puts a folder in its place.
    pub fn obstruct(&self, name: &str) {
        self.remove(name);
        fs::create_dir(self.folder.join(name)).expect("a folder");
    }

    /// Takes it away, whatever it is.
    pub fn remove(&self, name: &str) {
        let path = self.folder.join(name);
        match fs::symlink_metadata(&path) {
            Ok(known) if known.is_dir() => fs::remove_dir_all(path).expect("removes"),
            Ok(_) => fs::remove_file(path).expect("removes"),
            Err(_) => {}
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
