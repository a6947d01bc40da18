#!/bin/sh
# Cryptography is the keyring's. Other rooms may take encoders from libsodium, and
# nothing that handles a key, a nonce or a secret.
! grep -nE '\b(crypto|randombytes)_?[a-z0-9_]*\(|\bsodium_(memcmp|is_zero|malloc|mlock|mprotect)[a-z_]*\(' -r src --include='*.[ch]' | grep -v '^src/keyring/'
