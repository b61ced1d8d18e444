//! Root is for binding ports and reading keys; the edge, which talks to strangers, runs as somebody else.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Gid, Uid};
use serde::{Deserialize, Serialize};

/// The user an edge runs as when no other is named, if there is one of this name.
pub(crate) const USUAL_USER: &str = "mangrove";

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The id of the first group.
    pub gid: u32,
}

/// Whether this process runs as root.
pub(crate) fn are_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Looks a user up in `/etc/passwd`.
pub(crate) fn account(name: &str) -> io::Result<Option<Account>> {
    let table = fs::read(Path::new("/etc/passwd"))?;
    Ok(account_in(&String::from_utf8_lossy(&table), name))
}

/// The name of this process' own user, if the machine knows one.
pub(crate) fn own_name() -> Option<String> {
    let table = fs::read(Path::new("/etc/passwd")).ok()?;
    name_in(
        &String::from_utf8_lossy(&table),
        rustix::process::getuid().as_raw(),
    )
}

/// Becomes `account` for good and checks that there is no way back. Call it before any thread starts: Linux keeps these
/// ids for each thread.
pub(crate) fn become_account(account: &Account) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    if uid.is_root() {
        return Err(io::Error::other("the edge's user must not be root"));
    }
    rustix::thread::set_thread_groups(&[gid])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    rustix::thread::set_no_new_privs(true)?;
    let root = Uid::ROOT;
    let came_back = rustix::thread::set_thread_res_uid(root, root, root).is_ok();
    if came_back || rustix::process::geteuid() != uid || rustix::process::getuid() != uid {
        return Err(io::Error::other("root could be taken back"));
    }
    Ok(())
}

/// passwd(5): `name:password:uid:gid:comment:home:shell`.
fn account_in(table: &str, name: &str) -> Option<Account> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

fn name_in(table: &str, uid: u32) -> Option<String> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let is_his = fields.nth(1)?.parse() == Ok(uid);
        is_his.then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "root:x:0:0:root:/root:/bin/bash\n\
                         broken:x:many\n\
                         mangrove:x:987:986::/var/lib/mangrove:/usr/sbin/nologin\n";

    #[test]
    fn a_user_is_found_by_the_whole_name_only() {
        let found = account_in(TABLE, "mangrove").unwrap();
        assert_eq!((found.uid, found.gid), (987, 986));
        assert_eq!(account_in(TABLE, "mangro"), None);
        assert_eq!(account_in(TABLE, "broken"), None);
        assert_eq!(account_in(TABLE, ""), None);
    }

    #[test]
    fn a_user_has_a_name() {
        assert_eq!(name_in(TABLE, 987).as_deref(), Some("mangrove"));
        assert_eq!(name_in(TABLE, 0).as_deref(), Some("root"));
        assert_eq!(name_in(TABLE, 1), None);
    }
}
