// node-postgres: what an application sees of the hub, with parameters and results as text and as binary.
'use strict';
const { Client } = require('pg');

const encrypted = 'email, phone, name, born, extra';
const plain = ['nora@example.com', '+4915112345678', 'Nora Lindqvist', '1990-02-03', '{"vip": true}'];
const names = encrypted.split(', ');
let failures = 0;

function check(condition, what) {
  console.log(`${condition ? 'ok' : 'not ok'} - ${what}`);
  if (!condition) failures++;
}

// Run statements in one transaction as a member, as behind a pooler
async function as(client, token, work) {
  await client.query('BEGIN');
  try {
    await client.query('SELECT hub.authenticate($1)', [token]);
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

// The SQLSTATE of a statement that must fail
async function errorOf(promise) {
  return promise.then(() => ({ code: 'none', message: '' }), (error) => error);
}

async function main() {
  const { SALES_TOKEN: sales, AGENT_TOKEN: agent } = process.env;
  const client = new Client({ user: 'pooled' });
  const superuser = new Client({ user: 'postgres' });
  await client.connect();
  await superuser.connect();
  const stored = async () => JSON.stringify((await superuser.query('SELECT email, phone, born, extra FROM shop.person ORDER BY id')).rows);

  // before 8.16 the driver asks for binary results with a message that is cut short
  const asked = await errorOf(client.query({ text: 'SELECT $1::text', values: ['x'], binary: true }));
  const binaryResults = asked.code !== '08P01';
  console.log(`# binary results: ${binaryResults ? 'yes' : 'this version of the driver cannot ask for them'}`);

  for (const [number, mode] of [[1, 'text'], [2, 'binary']]) {
    // a Buffer is sent in binary format, a string as text; the server takes the type from the column
    const binary = mode === 'binary';
    const parameter = (value) => (binary ? Buffer.from(value) : value);
    const query = (text, values) => client.query({ text, values, binary: binary && binaryResults });
    const row = [`${number}.${plain[0]}`, ...plain.slice(1)];
    const lookUp = (type) => `SELECT ${encrypted} FROM shop.person WHERE email = $1${type}`;

    await as(client, sales, async () => {
      const inserted = await query(
        `INSERT INTO shop.person (id, region, ${encrypted}) VALUES (${number}, 'DE', $1, $2, $3, $4, $5) RETURNING ${encrypted}`,
        row.map(parameter));
      check(names.every((name, i) => inserted.rows[0][name] === row[i]), `${mode}: RETURNING shows what was inserted`);
      for (const type of ['', '::text', '::varchar']) {
        const found = await query(lookUp(type), [parameter(row[0])]);
        check(found.rowCount === 1 && names.every((name, i) => found.rows[0][name] === row[i]),
          `${mode}: found by its address${type}, and revealed`);
      }
    });
    check((await errorOf(query(lookUp(''), [row[0]]))).code === '42501', `${mode}: the identity ended with its transaction`);

    const before = await stored();
    await as(client, agent, async () => {
      const shown = (await query(lookUp(''), [parameter(row[0])])).rows[0];
      check(shown.name === row[2] && shown.email.includes('•') && !shown.email.includes('nora'), `${mode}: masked to who may not see it`);
      // what an ORM does: read a row, change one thing, write all of it
      const updated = await query(
        `UPDATE shop.person SET email = $1, phone = $2, name = $3, born = $4, extra = $5, visits = 7 WHERE id = ${number}`,
        names.map((name) => parameter(shown[name])));
      check(updated.rowCount === 1, `${mode}: a whole row with masks in it can be written`);
    });
    check((await stored()) === before && before.includes('hub1:') && !before.includes('•'), `${mode}: masks written back change nothing`);
  }

  // a named statement outlives the transaction; identity and what it shows do not
  const named = { name: 'address-of', text: 'SELECT email FROM shop.person WHERE id = $1', values: [1] };
  const seen = [];
  for (const token of [sales, agent, sales]) {
    seen.push((await as(client, token, () => client.query(named))).rows[0].email);
    check((await errorOf(client.query(named))).code === '42501', 'a named statement needs an identity');
  }
  check(seen[0] === `1.${plain[0]}` && seen[2] === seen[0] && seen[1].includes('•'), 'and shows what that identity may see');

  const error = await errorOf(as(client, sales, () =>
    client.query("INSERT INTO shop.person (id, region, email) VALUES (9, 'DE', $1)", ['no address'])));
  check(error.code === '22P02' && !JSON.stringify(error).includes('no address') && !error.message.includes('no address'),
    'bad text is refused with 22P02, and not quoted');

  const found = await as(client, sales, () =>
    client.query('SELECT id FROM shop.person WHERE email = ANY ($1) ORDER BY id', [[`1.${plain[0]}`, `2.${plain[0]}`]]));
  check(found.rows.map((r) => r.id).join() === '1,2', 'found by a list of addresses');

  await client.end();
  await superuser.end();
  process.exitCode = failures ? 1 : 0;
}

main().catch((error) => {
  console.error(error);
  process.exit(1); // the connections are open still
});
