use super::*;
use crate::archive::ArchiveError;
use crate::digest::sha256;
use crate::rootfs::tar::tests::Made;
use crate::rootfs::tests::Place;
use crate::rootfs::{Limits, Why};
use std::collections::BTreeMap;
use std::io::Write as _;

const OCI: &str = "application/vnd.oci.image";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn amd64() -> Platform {
    Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// One frame of raw blocks.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    let count = bytes.chunks(1 << 10).len();
    for (n, block) in bytes.chunks(1 << 10).enumerate() {
        let head = (block.len() as u32) << 3 | u32::from(n + 1 == count);
        out.extend(&head.to_le_bytes()[..3]);
        out.extend(block);
    }
    out
}

/// A layout in the making.
#[derive(Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn new() -> Files {
        let mut files = Files::default();
        files.0.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        files
    }

    /// Adds a blob, and returns its descriptor without the braces.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        self.0.insert(format!("blobs/sha256/{digest}"), bytes.to_vec());
        format!(r#""mediaType":"{media_type}","digest":"sha256:{digest}","size":{}"#, bytes.len())
    }

    fn config(&mut self, architecture: &str, diff_ids: &[Sha256]) -> String {
        let ids: Vec<String> = diff_ids.iter().map(|id| format!("\"sha256:{id}\"")).collect();
        let rootfs = format!(r#"{{"type":"layers","diff_ids":[{}]}}"#, ids.join(","));
        let rest = r#""config":{"Env":["A=B"],"Volumes":null},"history":[{"created_by":"x"}]"#;
        let text = format!(r#"{{"architecture":"{architecture}","os":"linux",{rest},"rootfs":{rootfs}}}"#);
        self.blob(&format!("{OCI}.config.v1+json"), text.as_bytes())
    }

    fn manifest(&mut self, config: &str, layers: &[String]) -> String {
        let layers: Vec<String> = layers.iter().map(|layer| format!("{{{layer}}}")).collect();
        let text = format!(r#"{{"schemaVersion":2,"config":{{{config}}},"layers":[{}]}}"#, layers.join(","));
        self.blob(MANIFEST, text.as_bytes())
    }

    /// An image of layers: media type after `layer.v1.tar`, and the archive.
    fn image(&mut self, architecture: &str, layers: &[(&str, Vec<u8>)]) -> String {
        let mut parts = Vec::new();
        for (packing, tar) in layers {
            let packed = match *packing {
                "+gzip" => gzip(tar),
                "+zstd" => zstd(tar),
                _ => tar.clone(),
            };
            parts.push(self.blob(&format!("{OCI}.layer.v1.tar{packing}"), &packed));
        }
        let ids: Vec<Sha256> = layers.iter().map(|(_, tar)| sha256(tar)).collect();
        let config = self.config(architecture, &ids);
        self.manifest(&config, &parts)
    }

    fn index_text(descriptors: &[String]) -> String {
        let all: Vec<String> = descriptors.iter().map(|descriptor| format!("{{{descriptor}}}")).collect();
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, all.join(","))
    }

    fn index(mut self, descriptors: &[String]) -> Files {
        self.0.insert("index.json".into(), Files::index_text(descriptors).into_bytes());
        self
    }

    /// Changes the blob of a descriptor, but not its name.
    fn tamper(&mut self, descriptor: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let hex = descriptor.split("sha256:").nth(1).unwrap().split('"').next().unwrap();
        change(self.0.get_mut(&format!("blobs/sha256/{hex}")).unwrap());
    }

    /// As a directory and as an archive.
    fn written(&self) -> (tempfile::TempDir, [PathBuf; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let mut made = Made::new();
        let root = dir.path().join("layout");
        for (name, bytes) in &self.0 {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
            made = made.bytes_of(&format!("./{name}"), bytes);
        }
        let archive = dir.path().join("layout.tar");
        std::fs::write(&archive, made.bytes()).unwrap();
        (dir, [root, archive])
    }

    /// What comes of it, from the directory and from the archive alike.
    fn unpacked(&self, choice: Choice, platform: &Platform) -> Result<Vec<String>, OciError> {
        let (_dir, paths) = self.written();
        let [one, other] = paths.map(|path| {
            let layout = Layout::open(&path)?;
            let image = Image::choose(&layout, &choice, platform)?;
            assert_eq!(Image::read(&layout, image.manifest, platform)?, image);
            let place = Place::new();
            let mut builder = place.limited(Limits { bytes: 1 << 20, ..Limits::default() });
            let result = image.unpack(&layout, &mut builder);
            if result.is_err() {
                assert!(matches!(builder.finish(&place.root(), 0), Err(RootfsError::Spoiled)));
                assert!(!place.root().exists());
            } else {
                return Ok(place.written(builder));
            }
            result.map(|()| Vec::new())
        });
        match (&one, &other) {
            (Ok(one), Ok(other)) => assert_eq!(one, other),
            (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
            _ => panic!("{one:?} is not {other:?}"),
        }
        one
    }

    fn only(&self) -> Result<Vec<String>, OciError> {
        self.unpacked(Choice::Only, &amd64())
    }
}

fn small() -> Vec<(&'static str, Vec<u8>)> {
    let lower = Made::new().dir("usr/").file("usr/a", "lower").file("usr/b", "lower").link("lib", "usr");
    let middle = Made::new().file("usr/a", "middle").file("usr/.wh.b", "").file("lib/c", "c");
    let upper = Made::new().file("d", "upper");
    vec![("", lower.bytes()), ("+gzip", middle.bytes()), ("+zstd", upper.bytes())]
}

const SMALL: [&str; 5] = ["f d upper", "l lib usr", "d usr", "f usr/a middle", "f usr/c c"];

#[test]
fn layers_of_each_packing() {
    let mut files = Files::new();
    let image = files.image("amd64", &small());
    assert_eq!(files.index(&[image]).only().unwrap(), SMALL);
}

#[test]
fn a_manifest_of_docker() {
    let mut files = Files::new();
    let tar = Made::new().file("f", "x").bytes();
    let layer = files.blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &gzip(&tar));
    let config = files
        .config("amd64", &[sha256(&tar)])
        .replace(&format!("{OCI}.config.v1+json"), "application/vnd.docker.container.image.v1+json");
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{docker}","config":{{{config}}},"layers":[{{{layer}}}]}}"#);
    let manifest = files.blob(docker, text.as_bytes());
    assert_eq!(files.index(&[manifest]).only().unwrap(), ["f f x"]);
}

fn tagged(descriptor: &str, tag: &str) -> String {
    format!(r#"{descriptor},"annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}"#)
}

fn digest_of(descriptor: &str) -> Sha256 {
    descriptor.split("sha256:").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
}

#[test]
fn choosing() {
    let mut files = Files::new();
    let of = |files: &mut Files, architecture: &str, name: &str| {
        files.image(architecture, &[("", Made::new().file(name, "").bytes())])
    };
    let (one, two) = (of(&mut files, "amd64", "one"), of(&mut files, "amd64", "two"));
    let arm = of(&mut files, "arm", "arm");
    let platform = |descriptor: &str, architecture: &str, variant: &str| {
        format!(r#"{descriptor},"platform":{{"os":"linux","architecture":"{architecture}"{variant}}}"#)
    };
    let both = [
        platform(&two, "amd64", ""),
        platform(&arm, "arm", r#","variant":"v7""#),
        format!(r#"{},"platform":{{"os":"unknown","architecture":"unknown"}}"#, one),
    ];
    let nested = files.blob(INDEX, Files::index_text(&both).as_bytes());
    let signature = files.blob("application/vnd.example.signature", b"{}");
    let (two, nested_digest, one_digest) = (digest_of(&two), digest_of(&nested), digest_of(&one));
    let files = files.index(&[tagged(&one, "1"), tagged(&nested, "2"), tagged(&signature, "3")]);
    let arm_v7 = Platform { architecture: "arm".into(), ..amd64() };
    for (choice, platform, want) in [
        (Choice::Tag("1".into()), amd64(), "one"),
        (Choice::Tag("2".into()), amd64(), "two"),
        (Choice::Tag("2".into()), arm_v7.clone(), "arm"),
        (Choice::Digest(one_digest), amd64(), "one"),
        (Choice::Digest(two), amd64(), "two"),
        (Choice::Digest(nested_digest), amd64(), "two"),
    ] {
        assert_eq!(files.unpacked(choice, &platform).unwrap(), [format!("f {want} ")]);
    }
    let err = files.only().unwrap_err();
    assert!(matches!(err, OciError::Ambiguous { .. }), "{err}");
    assert!(err.to_string().contains(&one_digest.to_string()), "{err}");
    for choice in [Choice::Tag("3".into()), Choice::Tag("4".into()), Choice::Digest(sha256(b""))] {
        let err = files.unpacked(choice, &amd64()).unwrap_err();
        assert!(
            matches!(&err, OciError::NoImage { there, .. } if there.len() == 3 && there[0].starts_with("\"1\"")),
            "{err}"
        );
    }
    // What a descriptor does not say, or says wrongly, the config knows.
    for choice in [Choice::Digest(one_digest), Choice::Tag("1".into())] {
        assert!(matches!(files.unpacked(choice, &arm_v7), Err(OciError::Platform { .. })));
    }
    let v6 = Platform { variant: Some("v6".into()), ..arm_v7 };
    assert!(matches!(files.unpacked(Choice::Tag("2".into()), &v6), Err(OciError::NoImage { .. })));
}

#[test]
fn what_is_not_what_its_digest_says() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str); 3] = [
        (|bytes| *bytes.last_mut().unwrap() ^= 1, "has the digest"),
        (|bytes| bytes.push(0), "bytes long"),
        (|bytes| bytes.truncate(bytes.len() - 1), "bytes long"),
    ];
    for (change, why) in changes {
        for which in 0..5 {
            let mut files = Files::new();
            let layers = small();
            let descriptors: Vec<String> = {
                let mut parts: Vec<String> = Vec::new();
                for (packing, tar) in &layers {
                    let packed = match *packing {
                        "+gzip" => gzip(tar),
                        "+zstd" => zstd(tar),
                        _ => tar.clone(),
                    };
                    parts.push(files.blob(&format!("{OCI}.layer.v1.tar{packing}"), &packed));
                }
                let ids: Vec<Sha256> = layers.iter().map(|(_, tar)| sha256(tar)).collect();
                let config = files.config("amd64", &ids);
                let manifest = files.manifest(&config, &parts);
                parts.into_iter().chain([config, manifest]).collect()
            };
            let mut files = files.index(&descriptors[4..]);
            assert!(files.only().is_ok());
            files.tamper(&descriptors[which], change);
            let err = files.only().unwrap_err().to_string();
            assert!(err.contains(why) && err.contains(&digest_of(&descriptors[which]).to_string()), "{which}: {err}");
            let gone = format!("blobs/sha256/{}", digest_of(&descriptors[which]));
            files.0.remove(&gone);
            assert!(matches!(files.only(), Err(OciError::Absent(_))));
        }
    }
    // Of a blob that is right, a size that is not.
    for (from, to) in [("\"size\":", "\"size\":1"), ("\"size\":", "\"size\":99999999")] {
        let mut files = Files::new();
        let image = files.image("amd64", &small()).replace(from, to);
        let err = files.index(&[image]).only().unwrap_err();
        assert!(err.to_string().contains("bytes long") || err.to_string().contains("longer than"), "{err}");
    }
}

#[test]
fn a_wrong_diff_id() {
    let mut files = Files::new();
    let tar = Made::new().file("f", "x").bytes();
    let layer = files.blob(&format!("{OCI}.layer.v1.tar+gzip"), &gzip(&tar));
    for (ids, right) in
        [(vec![sha256(&tar)], true), (vec![sha256(b"other")], false), (vec![], false), (vec![sha256(&tar); 2], false)]
    {
        let config = files.config("amd64", &ids);
        let manifest = files.manifest(&config, std::slice::from_ref(&layer));
        let result = Files(files.0.clone()).index(&[manifest]).only();
        match result {
            Ok(_) => assert!(right),
            Err(OciError::DiffId { expected, found, .. }) => {
                assert_eq!((expected, found), (sha256(b"other"), sha256(&tar)))
            }
            Err(OciError::Document { why, .. }) => assert!(!right && why.contains("diff_ids"), "{why}"),
            Err(err) => panic!("{err}"),
        }
    }
    // Zeros behind the archive are a part of it; another packing than is said is not.
    let long = [&tar[..], &[0; 4096]].concat();
    let packed = files.blob(&format!("{OCI}.layer.v1.tar+gzip"), &gzip(&long));
    let config = files.config("amd64", &[sha256(&tar)]);
    let manifest = files.manifest(&config, &[packed]);
    assert!(matches!(Files(files.0.clone()).index(&[manifest]).only(), Err(OciError::DiffId { .. })));
    let wrong = files.blob(&format!("{OCI}.layer.v1.tar+zstd"), &gzip(&tar));
    let manifest = files.manifest(&config, &[wrong]);
    let err = files.index(&[manifest]).only().unwrap_err();
    assert!(
        matches!(
            err,
            OciError::Rootfs(RootfsError::Archive(ArchiveError::Packed { .. }))
                | OciError::Archive(ArchiveError::Packed { .. })
        ),
        "{err}"
    );
}

#[test]
fn a_bomb() {
    let mut files = Files::new();
    let image = files.image("amd64", &[("+gzip", Made::new().bytes_of("zeros", &vec![0; 4 << 20]).bytes())]);
    let err = files.index(&[image]).only().unwrap_err();
    assert!(matches!(err, OciError::Rootfs(RootfsError::Entry { why: Why::TooLarge(_), .. })), "{err}");
}

#[test]
fn documents_that_are_refused() {
    let with = |change: &dyn Fn(String) -> String| {
        let mut files = Files::new();
        let tar = Made::new().file("f", "x").bytes();
        let layer = files.blob(&format!("{OCI}.layer.v1.tar"), &tar);
        let config = files.config("amd64", &[sha256(&tar)]);
        let manifest = change(format!(r#"{{"schemaVersion":2,"config":{{{config}}},"layers":[{{{layer}}}]}}"#));
        let manifest = files.blob(MANIFEST, manifest.as_bytes());
        files.index(&[manifest]).only().map_err(|err| err.to_string())
    };
    assert!(with(&|text| text).is_ok());
    for (from, to, why) in [
        (r#""schemaVersion":2"#, r#""schemaVersion":2,"schemaVersion":2"#, "there twice"),
        (r#""schemaVersion":2"#, r#""schemaVersion":1"#, "not the manifest"),
        (r#""schemaVersion":2"#, r#""schemaVersion":2,"manifests":[]"#, "not the manifest"),
        (r#""schemaVersion":2"#, r#""schemaVersion":2,"fsLayers":[]"#, "not the manifest"),
        (
            r#""schemaVersion":2"#,
            r#""schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json""#,
            "says that it is",
        ),
        ("image.layer.v1.tar", "image.layer.nondistributable.v1.tar", "it has a layer that is"),
        ("vnd.oci.image.layer.v1.tar", "vnd.docker.image.rootfs.foreign.diff.tar.gzip", "it has a layer that is"),
        (
            r#"vnd.oci.image.layer.v1.tar""#,
            r#"vnd.oci.image.layer.v1.tar","urls":["https://example.org/l"]"#,
            "elsewhere",
        ),
        ("image.config.v1+json", "image.other.v1+json", "not an image of files"),
        (r#""digest":"sha256:"#, r#""digest":"sha512:"#, ""),
        (r#""digest":"sha256:"#, r#""digest":"sha256:../"#, ""),
        (r#""size":"#, r#""size":-"#, ""),
        ("}", "", ""),
    ] {
        let err = with(&|text| {
            assert!(text.contains(from));
            text.replacen(from, to, 1)
        });
        let err = err.unwrap_err();
        assert!(err.contains(why), "{to}: {err}");
    }
}

#[test]
fn layouts_that_are_none() {
    let good = || {
        let mut files = Files::new();
        let image = files.image("amd64", &small());
        files.index(&[image])
    };
    for (name, text, why) in [
        ("oci-layout", None, "no file oci-layout"),
        ("oci-layout", Some(r#"{"imageLayoutVersion":"2.0.0"}"#), "version \"2.0.0\""),
        ("oci-layout", Some(r#"{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.0.0"}"#), "there twice"),
        ("index.json", None, "no file index.json"),
        ("index.json", Some("{}"), "schemaVersion"),
        ("index.json", Some(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#), "not an index"),
        ("index.json", Some(r#"{"schemaVersion":2,"manifests":[]}"#), "there is no image"),
    ] {
        let mut files = good();
        match text {
            Some(text) => files.0.insert(name.into(), text.into()),
            None => files.0.remove(name),
        };
        let (_dir, paths) = files.written();
        for path in paths {
            let result = Layout::open(&path).and_then(|layout| Image::choose(&layout, &Choice::Only, &amd64()));
            let err = result.unwrap_err().to_string();
            assert!(err.contains(why), "{err}");
        }
    }
    // Of an archive: packed, a name twice, cut off.
    let (dir, [_, path]) = good().written();
    let archive = std::fs::read(&path).unwrap();
    let other = dir.path().join("other.tar");
    let twice = Made::new().file("index.json", "{}").file("./index.json", "{}").bytes();
    for (bytes, why) in [
        (gzip(&archive), "packed by gzip"),
        (twice, "twice"),
        (archive[..archive.len() - 1024].to_vec(), "cut off"),
        (b"x".to_vec(), "not an archive"),
    ] {
        std::fs::write(&other, bytes).unwrap();
        let err = Layout::open(&other).err().unwrap().to_string();
        assert!(err.contains(why), "{err}");
    }
}

#[test]
fn links_and_fifos_in_a_layout_are_not_opened() {
    let mut files = Files::new();
    let image = files.image("amd64", &small());
    let files = files.index(&[image]);
    let (dir, [root, _]) = files.written();
    let index = root.join("index.json");
    std::fs::rename(&index, dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &index).unwrap();
    assert!(matches!(Layout::open(&root), Err(OciError::Fs(_))));
    std::fs::remove_file(&index).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &index, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(Layout::open(&root).err().unwrap().to_string().contains("a FIFO"));
    std::fs::remove_file(&index).unwrap();
    std::fs::rename(dir.path().join("elsewhere"), &index).unwrap();
    assert!(Layout::open(&root).is_ok());
    std::fs::rename(root.join("blobs"), dir.path().join("blobs")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("blobs"), root.join("blobs")).unwrap();
    let layout = Layout::open(&root).unwrap();
    assert!(matches!(Image::choose(&layout, &Choice::Only, &amd64()), Err(OciError::Fs(_))));
}

#[test]
fn indexes_without_end() {
    let mut files = Files::new();
    let mut inner = files.image("amd64", &small());
    for depth in 0..6 {
        let result = Files(files.0.clone()).index(std::slice::from_ref(&inner)).only();
        if depth <= 4 {
            assert_eq!(result.unwrap(), SMALL);
        } else {
            assert!(matches!(result, Err(OciError::Document { .. })), "{depth}");
        }
        inner = files.blob(INDEX, Files::index_text(&[inner]).as_bytes());
    }
    let mut files = Files::new();
    let many: Vec<String> = (0..101)
        .map(|n| files.blob(INDEX, format!("{}{}", Files::index_text(&[]), " ".repeat(n)).as_bytes()))
        .collect();
    assert!(matches!(files.index(&many).only(), Err(OciError::Document { .. })));
}

/// What the lock will do: every blob into a store, and the image out of it.
#[test]
fn through_another_store() {
    struct Store(BTreeMap<Sha256, Vec<u8>>);
    impl Blobs for Store {
        fn open(&self, digest: &Sha256) -> Result<Box<dyn Read + '_>, OciError> {
            Ok(Box::new(self.0.get(digest).ok_or(OciError::Absent(*digest))?.as_slice()))
        }
    }
    let mut files = Files::new();
    let image = files.image("amd64", &small());
    let (_dir, [root, _]) = files.index(&[image]).written();
    let layout = Layout::open(&root).unwrap();
    let image = Image::choose(&layout, &Choice::Only, &amd64()).unwrap();
    let mut store = Store(BTreeMap::new());
    for part in image.parts() {
        let mut bytes = Vec::new();
        Verified::open(&layout, part).unwrap().read_to_end(&mut bytes).unwrap();
        store.0.insert(part.digest, bytes);
    }
    assert_eq!(store.0.len(), 5);
    let place = Place::new();
    let mut builder = place.builder();
    let again = Image::read(&store, image.manifest, &amd64()).unwrap();
    again.unpack(&store, &mut builder).unwrap();
    assert_eq!(place.written(builder), SMALL);
    // Who copies sees a blob that is not true at its end.
    store.0.get_mut(&image.config.digest).unwrap()[0] ^= 1;
    let mut bytes = Vec::new();
    assert!(Verified::open(&store, image.config).unwrap().read_to_end(&mut bytes).is_err());
    assert!(matches!(Image::read(&store, image.manifest, &amd64()), Err(OciError::Digest { .. })));
}
