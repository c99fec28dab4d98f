"""Who may do what with the files that a replacement makes, and the attributes that pass from an original to its result."""

from __future__ import annotations

import os
import stat
import struct
import sys
from contextlib import suppress

_ACL = "system.posix_acl_access"
_ACL_HEADER, _ACL_ENTRY, _ACL_GROUP_OBJ = struct.Struct("<I"), struct.Struct("<HHI"), 0x04
"""Version; tag, rights and number of each entry; the tag of the group (linux/posix_acl_xattr.h)."""
_COPIED = {"system.nfs4_acl", "security.NTACL"}
"""And all of users. Others are the file system's own, or sign the bytes that they stand beside."""


def share(descriptor: int, folder: int, *, most: int) -> None:
    """Give a new file or folder, by descriptor, the rights of the folder that it is in, whatever the umask is.

    Args:
        most: What it may have of them.
    """
    like = os.fstat(folder)
    mode = (stat.S_IMODE(like.st_mode) | stat.S_IRWXU) & most
    given, own = _read_group(folder), _read_group(descriptor)
    # With a list, that the folder gave it, these are the most that anybody named there can do, and are that here as well.
    if given is not None and (own is None or own & ~given):
        mode &= ~stat.S_IRWXG | given << 3
    if like.st_mode & stat.S_ISVTX:
        # There nobody may remove what is another's, so nobody may here.
        mode &= ~stat.S_IWGRP
    try:
        # The system may have given it the group of this process, who may be more than those of the folder.
        os.fchown(descriptor, -1, like.st_gid)
    except OSError:
        mode &= ~stat.S_IRWXG
    with suppress(OSError):
        os.fchmod(descriptor, mode)


def is_trusted(folder: int, parent: int) -> bool:
    """Tell whether nobody may change what is in an open folder but those who may change all that is in its parent."""
    found, above = os.fstat(folder), os.fstat(parent)
    is_sticky, is_open = above.st_mode & stat.S_ISVTX, above.st_mode & stat.S_IWOTH
    if is_open and not is_sticky:
        return True
    if found.st_mode & stat.S_IWOTH:
        return False
    if found.st_uid in {os.geteuid(), 0, above.st_uid}:
        # In a sticky folder fellows may change nothing that is another's.
        return not (is_sticky and _may_group_write(folder))
    return not is_sticky and found.st_gid == above.st_gid and _may_group_write(parent)


def _may_group_write(descriptor: int) -> bool:
    given = _read_group(descriptor)
    # With a list these bits are its mask, which limits the group as it does all others that are named there.
    is_masked = not os.fstat(descriptor).st_mode & stat.S_IWGRP
    return not is_masked and (given is None or bool(given & stat.S_IWOTH))


def _read_group(descriptor: int) -> int | None:
    """Return what a list of rights gives to the group, 0 to 7; None without a list."""
    acl = _read(descriptor, _ACL)
    if acl is None or (len(acl) - _ACL_HEADER.size) % _ACL_ENTRY.size:
        return None
    entries = _ACL_ENTRY.iter_unpack(acl[_ACL_HEADER.size :])
    return next((given for tag, given, _ in entries if tag == _ACL_GROUP_OBJ), 0)


def dress(descriptor: int, original: int) -> tuple[str, ...]:
    """Give an open file rights, owner, times and attributes of another, as far as this user may.

    Returns:
        The names of the attributes that it could not be given, access control lists, "owner" and "group" among them.
    """
    like, acl = os.fstat(original), _read(original, _ACL)
    # While it is this user's own and may be written to.
    lost = _copy_attributes(original, descriptor)
    # The folder may give its files a list, by which more could read the result than could read the original.
    _remove_acl(descriptor)
    mode, has_group = _give(descriptor, like)
    with suppress(OSError):
        os.fchmod(descriptor, mode)
    if acl is not None and not (has_group and _write(descriptor, _ACL, acl)):
        lost = (*lost, _ACL)
        with suppress(OSError):
            # With a list these were the most that anybody named there could do, and not the rights of the group.
            os.fchmod(descriptor, _without_group(mode))
    with suppress(OSError):
        os.utime(descriptor, ns=(like.st_atime_ns, like.st_mtime_ns))
    return (*_name_strangers(descriptor, like), *lost)


def _name_strangers(descriptor: int, like: os.stat_result) -> tuple[str, ...]:
    """Name what of owner and group is not that of another file: who could read the one may be unable to read this one."""
    found = os.fstat(descriptor)
    same = {"owner": found.st_uid == like.st_uid, "group": found.st_gid == like.st_gid}
    return tuple(name for name, is_same in same.items() if not is_same)


def _give(descriptor: int, like: os.stat_result) -> tuple[int, bool]:
    """Give a file owner and group of another; return the mode that is safe then, and whether the group is the same."""
    mode = stat.S_IMODE(like.st_mode)
    with suppress(OSError):
        os.fchown(descriptor, like.st_uid, like.st_gid)
        return mode, True
    # Rights to act as the owner must not come to be rights to act as us.
    mode &= 0o777
    with suppress(OSError):
        os.fchown(descriptor, -1, like.st_gid)
        return mode, True
    # Nor those of its group those of ours.
    return _without_group(mode), False


def _without_group(mode: int) -> int:
    """Return a mode by which the group may do what all may."""
    return mode & (~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3)


def _copy_attributes(source: int, target: int) -> tuple[str, ...]:
    wanted = [name for name in _names(source) if name.startswith("user.") or name in _COPIED]
    values = [(name, value) for name in wanted if (value := _read(source, name)) is not None]
    # A name may be any bytes, and journals are text.
    return tuple(
        os.fsencode(name).decode(errors="replace") for name, value in values if not _write(target, name, value)
    )


def _names(descriptor: int) -> list[str]:
    if sys.platform != "linux":
        return []
    try:
        return os.listxattr(descriptor)
    except OSError:
        # A file system without attributes.
        return []


def _read(descriptor: int, name: str) -> bytes | None:
    if sys.platform != "linux":
        return None
    try:
        return os.getxattr(descriptor, name)
    except OSError:
        return None


def _write(descriptor: int, name: str, value: bytes) -> bool:
    """Set an attribute, and tell whether the file has it now."""
    if sys.platform != "linux":
        return False
    with suppress(OSError):
        # What every file has there need not be set, which may be forbidden.
        if _read(descriptor, name) != value:
            os.setxattr(descriptor, name, value)
        return True
    return False


def _remove_acl(descriptor: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError):
            os.removexattr(descriptor, _ACL)
