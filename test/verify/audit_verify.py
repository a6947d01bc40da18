#!/usr/bin/env python3
"""Verify what customer_hub's audit trail proves, without the database.

    audit_verify.py event PUBLIC_KEY PROOF.json        what hub.audit_proof() returned
    audit_verify.py consistency PUBLIC_KEY PROOF.json  what hub.audit_consistency() returned
    audit_verify.py checkpoint PUBLIC_KEY NOTE.txt     what hub.audit_checkpoint() returned
    audit_verify.py export PUBLIC_KEY LINES.txt        lines of hub.export_audit()
    audit_verify.py anchors PUBLIC_KEY FILE            a file of customer_hub.audit_anchor_directory
    audit_verify.py keys PUBLIC_KEY NOTES.txt          column changeover of hub.audit_keys()

PUBLIC_KEY is what hub.audit_public_key() returned, kept from a time when the
database was trusted. Where the key has changed since, or before, a chain of
changeovers leads from it to the others: checkpoints that name two keys and are
signed by both. Proofs and files of anchors bring it along; for what does not,
PUBLIC_KEY can be a file with the key on its first line, and the changeovers
after it. Each key counts for checkpoints of its own time alone. An optional last argument is a checkpoint note that was
kept elsewhere, such as a NOTIFY payload: the proof must then be against exactly
that checkpoint. Prints what is proved and exits 0, or says why not and exits 1.

Written from the specifications alone (RFC 6962, c2sp.org/signed-note,
c2sp.org/tlog-checkpoint, src/audit/block.h and event.h), sharing no code with
the extension. Needs Python 3 and the openssl command for Ed25519.
"""
import base64
import hashlib
import json
import os
import subprocess
import struct
import sys
import tempfile
from datetime import datetime, timedelta, timezone


class Refused(Exception):
    pass


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(data):
    return sha256(b"\x00" + data)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def unbase64(text):
    return base64.b64decode(text, validate=True)


def root_from_inclusion(leaf, index, size, path):
    """RFC 9162 section 2.1.3.2, which is RFC 6962's proof spelled out"""
    if not 0 <= index < size:
        raise Refused("the index is outside the tree")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            raise Refused("the path is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    if sn != 0:
        raise Refused("the path is too short")
    return r


def check_consistency(old_size, new_size, old_root, new_root, path):
    """RFC 9162 section 2.1.4.2"""
    if not 0 < old_size <= new_size:
        raise Refused("impossible sizes")
    if old_size == new_size:
        if path or old_root != new_root:
            raise Refused("two roots for one size")
        return
    if not path:
        raise Refused("the path is empty")
    path = list(path)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise Refused("the path is too long")
        if fn & 1 or fn == sn:
            fr = node_hash(c, fr)
            sr = node_hash(c, sr)
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    if sn != 0 or fr != old_root or sr != new_root:
        raise Refused("the old log is not the beginning of the new one")


def ed25519_verify(public_key, message, signature):
    der = bytes.fromhex("302a300506032b6570032100") + public_key
    with tempfile.TemporaryDirectory() as directory:
        def put(name, data):
            path = os.path.join(directory, name)
            with open(path, "wb") as file:
                file.write(data)
            return path
        pem = (b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) +
               b"\n-----END PUBLIC KEY-----\n")
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", put("key", pem),
             "-rawin", "-in", put("message", message), "-sigfile", put("signature", signature)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0


class Key:
    """A public key as c2sp.org/signed-note writes it"""

    def __init__(self, vkey):
        self.vkey = vkey
        self.name, key_id, key = vkey.split("+", 2)
        key = unbase64(key)
        if len(key) != 33 or key[0] != 1:
            raise Refused("the public key is not of type Ed25519")
        self.key_id = sha256(self.name.encode() + b"\n" + key)[:4]
        if self.key_id.hex() != key_id:
            raise Refused("the public key's id is not of its contents")
        self.bytes = key[1:]

    def signed(self, note):
        """Did this key sign the note? Not, if its signature does not verify"""
        for name, key_id, signature in note.signatures:
            if (name, key_id) == (self.name, self.key_id):
                if not ed25519_verify(self.bytes, note.text.encode(), signature):
                    raise Refused("the checkpoint's signature does not verify")
                return True
        return False


class Note:
    """c2sp.org/signed-note: a text, an empty line, lines of signatures"""

    def __init__(self, note):
        note = note.rstrip("\n") + "\n"
        if "\n\n" not in note or any(c < " " and c != "\n" for c in note):
            raise Refused("the checkpoint is no signed note")
        self.text, signatures = note.rsplit("\n\n", 1)
        self.text += "\n"
        self.signatures = []
        for line in signatures.split("\n")[:-1]:
            mark, name, signature = line.split(" ")
            signature = unbase64(signature)
            if mark != "\u2014" or not name or "+" in name or len(signature) < 5:
                raise Refused("a line of signatures is malformed")
            self.signatures.append((name, signature[:4], signature[4:]))


class Checkpoint(Note):
    """c2sp.org/tlog-checkpoint: origin, size, root; a changeover names two keys besides"""

    def __init__(self, note):
        super().__init__(note)
        lines = self.text.split("\n")[:-1]
        if len(lines) not in (3, 5) or "" in lines:
            raise Refused("the checkpoint is malformed")
        self.origin, self.size, self.root = lines[0], int(lines[1]), unbase64(lines[2])
        if str(self.size) != lines[1] or len(self.root) != 32:
            raise Refused("the checkpoint is malformed")
        self.old = self.new = None
        if len(lines) == 5:
            if not (lines[3].startswith("old-key ") and lines[4].startswith("new-key ")):
                raise Refused("the checkpoint is malformed")
            self.old, self.new = Key(lines[3][8:]), Key(lines[4][8:])
            if self.old.vkey == self.new.vkey or {self.old.name, self.new.name} != {self.origin}:
                raise Refused("a change of keys is of another log")


def split_notes(origin, text):
    return [origin + "\n" + note for note in ("\n" + text).split("\n" + origin + "\n")[1:]]


class Keys:
    """The keys of a log, and the sizes that each signs"""

    def __init__(self, argument):
        changes = ""
        if os.path.exists(argument):
            argument, _, changes = open(argument, encoding="utf-8").read().partition("\n")
        self.trusted = Key(argument.strip())
        self.changes = {}
        self.learn(split_notes(self.trusted.name, changes))

    def learn(self, notes):
        """Take in changeovers: all that are known must be one chain with the trusted key in it"""
        for note in notes:
            change = Checkpoint(note)
            if change.new is None:
                raise Refused("a change of keys names no keys")
            if not (change.old.signed(change) and change.new.signed(change)):
                raise Refused("a change of keys is not signed by both keys")
            if self.changes.setdefault(change.size, change).text != change.text:
                raise Refused("two changes of keys at one size")
        self.spans = []
        key, first = self.trusted, 1
        for size in sorted(self.changes):
            change = self.changes[size]
            if self.spans and change.old.vkey != key.vkey:
                raise Refused("the changes of keys are not a chain")
            self.spans.append((change.old, first, size))
            key, first = change.new, size
        self.spans.append((key, first, None))
        if self.trusted.vkey not in [span[0].vkey for span in self.spans]:
            raise Refused("the changes of keys do not lead to the public key")

    def open(self, text):
        """Return a checkpoint that is signed by the keys of its time"""
        note = Checkpoint(text)
        if note.origin != self.trusted.name:
            raise Refused("the checkpoint is of another log")
        if note.new is not None:
            self.learn([text])
        if note.size in self.changes and self.changes[note.size].text != note.text:
            raise Refused("the key changes here, and the checkpoint does not say so")
        for key, first, last in self.spans:
            if first <= note.size and (last is None or note.size <= last) and not key.signed(note):
                raise Refused("the checkpoint is not signed with the key of its time")
        return note.origin, note.size, note.root


def fields(data):
    """Take canonical bytes apart"""
    found, at = {}, 1
    while at < len(data):
        number, length = struct.unpack_from(">BI", data, at)
        at += 5
        if number in found or at + length > len(data) or (found and number < max(found)):
            raise Refused("the canonical bytes are malformed")
        found[number] = data[at:at + length]
        at += length
    return found


def number(data):
    return int.from_bytes(data, "big")


def when(data):
    return datetime(2000, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=number(data))


def verify_leaf(proof, encoding, count, root, what):
    data = unbase64(proof["bytes"])
    if data[:1] != encoding:
        raise Refused(f"these are not the bytes of {what}")
    if proof["size"] != count:
        raise Refused(f"the tree of {what} has another size")
    path = [unbase64(p) for p in proof["path"]]
    if root_from_inclusion(leaf_hash(data), proof["index"], count, path) != root:
        raise Refused(f"{what} is not in the block")
    return fields(data)


def verify_event(keys, proof, note):
    if note is not None and note.rstrip("\n") != proof["checkpoint"].rstrip("\n"):
        raise Refused("the proof is against another checkpoint")
    keys.learn(proof.get("key_changes", []))
    _, size, root = keys.open(proof["checkpoint"])

    header = proof["header"]
    log = proof["log"]
    if log["size"] != size:
        raise Refused("the proof and the checkpoint are of different sizes")
    path = [unbase64(p) for p in log["path"]]
    if root_from_inclusion(leaf_hash(header.encode()), log["index"], size, path) != root:
        raise Refused("the block is not in the log")

    lines = header.split("\n")
    if len(lines) != 14 or lines[0] != "customer_hub/block/v1" or lines[13] != "":
        raise Refused("the block header is malformed")
    if int(lines[1]) != log["index"]:
        raise Refused("the block has another number")
    event = verify_leaf(proof["event"], b"\x01", int(lines[7]), bytes.fromhex(lines[8]), "the event")
    print(f"event {number(event[1])}, {number(event[2])} of kind {event[4].decode()}"
          f" recorded {when(event[3]).isoformat()}")
    if "transaction" in proof:
        row = verify_leaf(proof["transaction"], b"T", int(lines[9]), bytes.fromhex(lines[10]),
                          "the transaction")
        if row[1] != event[1]:
            raise Refused("the transaction is another one")
        print(f"by login {row[5].decode()}"
              + (f", member {number(row[3])}" if 3 in row else ""))
    print(f"in block {lines[1]} sealed {when(int(lines[12]).to_bytes(8, 'big')).isoformat()}"
          f", in the log of {size} blocks: verified")


def verify_consistency(keys, proof, note):
    keys.learn(proof.get("key_changes", []))
    _, old_size, old_root = keys.open(proof["old_checkpoint"])
    _, new_size, new_root = keys.open(proof["new_checkpoint"])
    if note is not None and note.rstrip("\n") != proof["old_checkpoint"].rstrip("\n"):
        raise Refused("the proof is not from the checkpoint that was kept")
    if (old_size, new_size) != (proof["old_size"], proof["new_size"]):
        raise Refused("the proof and the checkpoints are of different sizes")
    check_consistency(old_size, new_size, old_root, new_root,
                      [unbase64(p) for p in proof["path"]])
    print(f"the log of {new_size} blocks begins with that of {old_size} blocks: verified")


class Tree:
    """A tree that grows, RFC 6962 section 2.1"""

    def __init__(self):
        self.size, self.edge = 0, []

    def add(self, leaf):
        self.edge.append(leaf)
        self.size += 1
        bits = self.size
        while bits & 1 == 0:
            right = self.edge.pop()
            self.edge.append(node_hash(self.edge.pop(), right))
            bits >>= 1

    def root(self):
        if not self.edge:
            return sha256(b"")
        root = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            root = node_hash(left, root)
        return root


class Block:
    """A block of an export, as its lines come in"""

    def __init__(self, part, size, root):
        log = part["log"]
        path = [unbase64(p) for p in log["path"]]
        self.number = part["block"]
        if log["size"] != size or log["index"] != self.number:
            raise Refused("the block has another number")
        if root_from_inclusion(leaf_hash(part["header"].encode()), log["index"], size, path) != root:
            raise Refused(f"block {self.number} is not in the log")
        self.header = part["header"].split("\n")
        if (len(self.header) != 14 or self.header[0] != "customer_hub/block/v1"
                or int(self.header[1]) != self.number):
            raise Refused("the block header is malformed")
        self.events, self.transactions = Tree(), Tree()
        self.place, self.given, self.unnamed = (0, 0), 0, set()

    def add_event(self, event):
        if isinstance(event, dict):
            self.events.add(unbase64(event["hash"]))
            return
        data = unbase64(event)
        found = fields(data)
        place = (number(found[1]), number(found[2]))
        if data[:1] != b"\x01" or place <= self.place:
            raise Refused(f"event {place} is out of order")
        self.place = place
        self.unnamed.add(place[0])
        self.events.add(leaf_hash(data))
        self.given += 1

    def add_transaction(self, row):
        data = unbase64(row)
        if data[:1] != b"T":
            raise Refused("these are not the bytes of a transaction")
        self.unnamed.discard(number(fields(data)[1]))
        self.transactions.add(leaf_hash(data))

    def end(self):
        if (self.events.size, self.events.root()) != (int(self.header[7]), bytes.fromhex(self.header[8])):
            raise Refused(f"block {self.number} holds other events than were sealed")
        if ((self.transactions.size, self.transactions.root()) !=
                (int(self.header[9]), bytes.fromhex(self.header[10]))):
            raise Refused(f"block {self.number} holds other transactions than were sealed")
        if self.unnamed:
            raise Refused(f"nobody is named for transaction {min(self.unnamed)}")


def verify_export(keys, lines, note):
    first = json.loads(next(lines))
    if first.get("format") != "customer_hub/audit-export/v1":
        raise Refused("this is not an export of an audit trail")
    if note is not None and note.rstrip("\n") != first["checkpoint"].rstrip("\n"):
        raise Refused("the export is against another checkpoint")
    keys.learn(first.get("key_changes", []))
    _, size, root = keys.open(first["checkpoint"])
    blocks = events = 0
    block = last = None
    for line in lines:
        part = json.loads(line)
        if last is not None or ("block" in part) == (block is not None) and "blocks" not in part:
            raise Refused("the lines are out of order")
        if "blocks" in part:
            last = part
        elif "block" in part:
            block = Block(part, size, root)
        elif "events" in part:
            for event in part["events"]:
                block.add_event(event)
        elif "transactions" in part:
            for row in part["transactions"]:
                block.add_transaction(row)
        elif "end" in part:
            block.end()
            blocks += 1
            events += block.given
            block = None
        else:
            raise Refused("a line is of no known kind")
    if last is None or block is not None or (last["blocks"], last["events"]) != (blocks, events):
        raise Refused("the export is cut short")
    print(f"{events} events of {first['partition']} in {blocks} blocks, in the log of {size} blocks: verified")



def verify_anchors(keys, text):
    """A file of notes, each ended by an empty line"""
    notes = split_notes(keys.trusted.name, text)
    if not notes:
        raise Refused("there is no checkpoint of this log")
    keys.learn([note for note in notes if Checkpoint(note).new is not None])
    last = 0
    for note in notes:
        _, size, _ = keys.open(note)
        if size <= last:
            raise Refused(f"a log of {size} blocks comes after one of {last}")
        last = size
    print(f"{len(notes)} checkpoints, the last of {last} blocks: verified")


def verify_keys(keys, text):
    keys.learn(split_notes(keys.trusted.name, text))
    for key, first, last in keys.spans:
        print(f"{key.vkey} from {first} blocks" + (f" to {last}" if last else "") + ": verified")


def main(arguments):
    if len(arguments) not in (3, 4) or arguments[0] not in (
            "event", "consistency", "checkpoint", "anchors", "export", "keys"):
        print(__doc__, file=sys.stderr)
        return 2
    kind = arguments[0]
    text = open(arguments[2], encoding="utf-8").read()
    note = open(arguments[3], encoding="utf-8").read() if len(arguments) == 4 else None
    try:
        keys = Keys(arguments[1])
        if kind == "checkpoint":
            origin, size, _ = keys.open(text)
            print(f"checkpoint of {origin}, {size} blocks: verified")
        elif kind == "export":
            verify_export(keys, iter(text.splitlines()), note)
        elif kind == "anchors":
            verify_anchors(keys, text)
        elif kind == "keys":
            verify_keys(keys, text)
        elif kind == "event":
            verify_event(keys, json.loads(text), note)
        else:
            verify_consistency(keys, json.loads(text), note)
    except (Refused, ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        print(f"not proved: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
