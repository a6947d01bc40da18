-- Trees, inclusion and consistency proofs against the reference vectors that the
-- certificate-transparency implementations of RFC 6962 share.
BEGIN;
SELECT plan(26);

CREATE TEMP TABLE leaf AS
SELECT n, decode(hex, 'hex') AS bytes FROM unnest(ARRAY[
	'', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'
]) WITH ORDINALITY AS l (hex, n);

CREATE FUNCTION pg_temp.leaves(size int) RETURNS bytea[] LANGUAGE sql AS
	'SELECT coalesce(array_agg(bytes ORDER BY n), ''{}'') FROM leaf WHERE n <= size';
CREATE FUNCTION pg_temp.hex(hashes bytea[]) RETURNS text[] LANGUAGE sql AS
	'SELECT coalesce(array_agg(encode(h, ''hex'') ORDER BY n), ''{}'') FROM unnest(hashes) WITH ORDINALITY AS u (h, n)';

SELECT is(encode(hub.merkle_root(pg_temp.leaves(size)), 'hex'), root, format('root of %s leaves', size))
FROM (VALUES
	(0, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'),
	(1, '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'),
	(2, 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'),
	(3, 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77'),
	(4, 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'),
	(5, '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4'),
	(6, '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef'),
	(7, 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c'),
	(8, '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328')
) AS v (size, root);

SELECT is(pg_temp.hex(hub.merkle_inclusion(pg_temp.leaves(1), 0)), '{}', 'a single leaf is its own root');
SELECT is(pg_temp.hex(hub.merkle_inclusion(pg_temp.leaves(8), 0)), ARRAY[
	'96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
	'5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
	'6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4'], 'leaf 0 of 8');
SELECT is(pg_temp.hex(hub.merkle_inclusion(pg_temp.leaves(8), 5)), ARRAY[
	'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
	'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
	'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'], 'leaf 5 of 8');
SELECT is(pg_temp.hex(hub.merkle_consistency(pg_temp.leaves(8), 1)), ARRAY[
	'96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
	'5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
	'6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4'], '8 leaves begin with 1');
SELECT is(pg_temp.hex(hub.merkle_consistency(pg_temp.leaves(8), 6)), ARRAY[
	'0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
	'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
	'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'], '8 leaves begin with 6');
SELECT is(pg_temp.hex(hub.merkle_consistency(pg_temp.leaves(5), 2)), ARRAY[
	'5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
	'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b'], '5 leaves begin with 2');
SELECT is(pg_temp.hex(hub.merkle_consistency(pg_temp.leaves(8), 8)), '{}', 'a tree begins with itself');

-- The example of RFC 9162 section 2.1.5 (in RFC 6962 section 2.1.3): a tree of seven leaves,
-- its nodes by the letters they have there, computed without the code under test.
CREATE TEMP TABLE seven AS SELECT n, convert_to('d' || n, 'UTF8') AS bytes, sha256('\x00' || convert_to('d' || n, 'UTF8')) AS hash FROM generate_series(0, 6) n;
CREATE FUNCTION pg_temp.h(n int) RETURNS bytea LANGUAGE sql AS 'SELECT hash FROM seven WHERE seven.n = h.n';
CREATE FUNCTION pg_temp.parent(l bytea, r bytea) RETURNS bytea LANGUAGE sql AS $$SELECT sha256('\x01' || l || r)$$;
CREATE FUNCTION pg_temp.seven(size int) RETURNS bytea[] LANGUAGE sql AS 'SELECT array_agg(bytes ORDER BY n) FROM seven WHERE n < size';
SELECT pg_temp.h(0) AS a, pg_temp.h(1) AS b, pg_temp.h(2) AS c, pg_temp.h(3) AS d, pg_temp.h(4) AS e, pg_temp.h(5) AS f, pg_temp.h(6) AS j \gset
SELECT pg_temp.parent(:'a', :'b') AS g, pg_temp.parent(:'c', :'d') AS h, pg_temp.parent(:'e', :'f') AS i \gset
SELECT pg_temp.parent(:'g', :'h') AS k, pg_temp.parent(:'i', :'j') AS l \gset
SELECT is(hub.merkle_root(pg_temp.seven(3)), pg_temp.parent(:'g', :'c'), 'hash0: three leaves');
SELECT is(hub.merkle_root(pg_temp.seven(4)), :'k'::bytea, 'hash1: four leaves');
SELECT is(hub.merkle_root(pg_temp.seven(6)), pg_temp.parent(:'k', :'i'), 'hash2: six leaves');
SELECT is(hub.merkle_inclusion(pg_temp.seven(7), 0), ARRAY[:'b', :'h', :'l']::bytea[], 'the path of d0 is b, h, l');
SELECT is(hub.merkle_inclusion(pg_temp.seven(7), 3), ARRAY[:'c', :'g', :'l']::bytea[], 'that of d3 is c, g, l');
SELECT is(hub.merkle_inclusion(pg_temp.seven(7), 4), ARRAY[:'f', :'j', :'k']::bytea[], 'that of d4 is f, j, k');
SELECT is(hub.merkle_inclusion(pg_temp.seven(7), 6), ARRAY[:'i', :'k']::bytea[], 'that of d6 is i, k');
SELECT is(hub.merkle_consistency(pg_temp.seven(7), 3), ARRAY[:'c', :'d', :'g', :'l']::bytea[], 'from hash0 c, d, g, l');
SELECT is(hub.merkle_consistency(pg_temp.seven(7), 4), ARRAY[:'l']::bytea[], 'from hash1 l');
SELECT is(hub.merkle_consistency(pg_temp.seven(7), 6), ARRAY[:'i', :'j', :'k']::bytea[], 'from hash2 i, j, k');

SELECT * FROM finish();
ROLLBACK;
