#!/usr/bin/env python3
"""Open sealed values of customer_hub, version 1, with nothing but the root key.

Shares no code with the extension: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03,
RFC 8439) is written out here, BLAKE2b is Python's. For tests, not for secrets: it
is slow and does not run in constant time.

    envelope_open.py self-test          the published vectors
    envelope_open.py open FILE          FILE as test/fixtures/envelope_v1.tsv;
                                        prints the text of each value, or
                                        [erased] when its subject has no key
"""
import base64
import hashlib
import struct
import sys

MASK = 0xFFFFFFFF
DERIVATION_CONTEXT = b"custhub1"
USE_FINGERPRINT, USE_WRAP_SUBJECT, USE_TOKEN, USE_SERVICE = 1, 2, 3, 1000
SERVICE_UNBOUND = 7
FAMILIES = {1: "text", 2: "email", 3: "phone", 4: "date", 5: "jsonb"}
SEARCHABLE = 0x08


def quarter_round(s, a, b, c, d):
    s[a] = (s[a] + s[b]) & MASK
    s[d] = rotate(s[d] ^ s[a], 16)
    s[c] = (s[c] + s[d]) & MASK
    s[b] = rotate(s[b] ^ s[c], 12)
    s[a] = (s[a] + s[b]) & MASK
    s[d] = rotate(s[d] ^ s[a], 8)
    s[c] = (s[c] + s[d]) & MASK
    s[b] = rotate(s[b] ^ s[c], 7)


def rotate(value, bits):
    return ((value << bits) | (value >> (32 - bits))) & MASK


def permute(state):
    for _ in range(10):
        quarter_round(state, 0, 4, 8, 12)
        quarter_round(state, 1, 5, 9, 13)
        quarter_round(state, 2, 6, 10, 14)
        quarter_round(state, 3, 7, 11, 15)
        quarter_round(state, 0, 5, 10, 15)
        quarter_round(state, 1, 6, 11, 12)
        quarter_round(state, 2, 7, 8, 13)
        quarter_round(state, 3, 4, 9, 14)


def initial(key, rest):
    return list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key)) + rest


def chacha20_block(key, counter, nonce):
    start = initial(key, [counter] + list(struct.unpack("<3I", nonce)))
    state = list(start)
    permute(state)
    return struct.pack("<16I", *((a + b) & MASK for a, b in zip(state, start)))


def chacha20(key, nonce, data):
    out = bytearray()
    for i in range(0, len(data), 64):
        block = chacha20_block(key, 1 + i // 64, nonce)
        out += bytes(a ^ b for a, b in zip(data[i:i + 64], block))
    return bytes(out)


def hchacha20(key, nonce):
    state = initial(key, list(struct.unpack("<4I", nonce)))
    permute(state)
    return struct.pack("<8I", *(state[:4] + state[12:]))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(key[16:], "little")
    total = 0
    for i in range(0, len(message), 16):
        block = message[i:i + 16] + b"\x01"
        total = (total + int.from_bytes(block, "little")) * r % ((1 << 130) - 5)
    return ((total + s) & ((1 << 128) - 1)).to_bytes(16, "little")


def pad16(data):
    return data + bytes(-len(data) % 16)


def open_sealed(key, nonce, sealed, aad):
    """Return the plaintext, or None when it does not verify."""
    ciphertext, mac = sealed[:-16], sealed[-16:]
    subkey = hchacha20(key, nonce[:16])
    nonce = bytes(4) + nonce[16:]
    authenticated = pad16(aad) + pad16(ciphertext) + struct.pack("<QQ", len(aad), len(ciphertext))
    if poly1305(chacha20_block(subkey, 0, nonce)[:32], authenticated) != mac:
        return None
    return chacha20(subkey, nonce, ciphertext)


def derive(root_key, use, size=32):
    """libsodium's crypto_kdf: BLAKE2b with the use as salt."""
    return hashlib.blake2b(digest_size=size, key=root_key, salt=struct.pack("<Q", use) + bytes(8),
                           person=DERIVATION_CONTEXT + bytes(8)).digest()


def unwrap(root_key, subject, epoch, wrapped):
    key = open_sealed(derive(root_key, USE_WRAP_SUBJECT), wrapped[:24], wrapped[24:],
                      b"\x01" + subject + struct.pack(">I", epoch))
    if key is None:
        raise SystemExit("a wrapped key does not open")
    return key


def open_token(root_key, subject_keys, token, expected_type, expected_subject):
    raw = token.removeprefix("hub1:")
    raw = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))
    epoch, mac, envelope = raw[:2], raw[2:18], raw[18:]
    if epoch != b"\x00\x01":
        raise SystemExit("a token is not of epoch 1")
    if hashlib.blake2b(envelope, key=derive(root_key, USE_TOKEN), digest_size=16).digest() != mac:
        raise SystemExit("the MAC of a token is wrong")
    header, nonce, sealed = envelope[:20], envelope[20:44], envelope[44:]
    family, subject = header[1] & 7, header[4:]
    if header[0] != 0x11 or FAMILIES[family] != expected_type or subject != expected_subject:
        raise SystemExit("a header is not as expected")
    if subject == bytes(16):
        key = derive(root_key, USE_SERVICE + SERVICE_UNBOUND)
    else:
        key = subject_keys[subject]
    if key is None:
        return "[erased]"
    plaintext = open_sealed(key, nonce, sealed, struct.pack(">I", len(header)) + header)
    if plaintext is None:
        raise SystemExit("a value does not open")
    if header[1] & SEARCHABLE:
        folded = plaintext.decode().lower().encode() if family == 2 else plaintext
        tag_key = derive(root_key, USE_SERVICE + family)
        if hashlib.blake2b(folded, key=tag_key, digest_size=16).digest() != nonce[:16]:
            raise SystemExit("an equality tag is wrong")
    return plaintext.decode()


def open_file(path):
    root_key, subject_keys = None, {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            kind, *fields = line.rstrip("\n").split("\t")
            if kind == "root_key":
                root_key = bytes.fromhex(fields[0])
            elif kind == "fingerprint":
                if derive(root_key, USE_FINGERPRINT, 16).hex() != fields[0]:
                    raise SystemExit("the fingerprint is another key's")
            elif kind == "subject":
                subject = bytes.fromhex(fields[0].replace("-", ""))
                subject_keys[subject] = unwrap(root_key, subject, int(fields[1]),
                                               bytes.fromhex(fields[2])) if fields[2] else None
            elif kind == "value":
                subject = bytes.fromhex(fields[2].replace("-", "")) or bytes(16)
                print(open_token(root_key, subject_keys, fields[3], fields[0], subject))


def self_test():
    key = bytes(range(0x80, 0xA0))
    sealed = bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
        "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49")
    opened = open_sealed(key, bytes(range(0x40, 0x58)), sealed,
                         bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    assert opened is not None and opened.startswith(b"Ladies and Gentlemen"), "XChaCha20-Poly1305 A.3.1"
    key = bytes.fromhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
    assert hchacha20(key, bytes.fromhex("000000090000004a0000000031415927")).hex().startswith("82413b42"), "HChaCha20"
    print("ok")


if __name__ == "__main__":
    if sys.argv[1:] == ["self-test"]:
        self_test()
    elif len(sys.argv) == 3 and sys.argv[1] == "open":
        open_file(sys.argv[2])
    else:
        raise SystemExit(__doc__)
