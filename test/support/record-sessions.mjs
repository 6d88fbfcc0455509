// Run in a process of its own: records sessions, each with a proven fault, in the store of the folder that its first
// argument names, and prints the id of each once the store has confirmed both, until it is killed.
import { register } from 'tsx/esm/api';

register();
const { openSqliteStore } = await import('../../signal-server/store/sqlite/sqlite-store.ts');
const store = await openSqliteStore(process.argv[2]);
const checks = { checked: 1, settled: 0, unchecked: 0, disputed: 0 };
const volunteer = 'a'.repeat(64);
await store.history.volunteerSeen(volunteer, 'tab', 1);
for (let i = 0; ; i++) {
  const id = i.toString(16).padStart(32, '0');
  const times = { issuedMs: i, endedMs: i + 1 };
  const session = {
    id,
    model: 'b'.repeat(64),
    requester: 'c'.repeat(64),
    ...times,
    outcome: 'done',
    tokens: 1,
    positions: 1,
    tokensPerSecond: null,
  };
  const range = { start: 0, end: 4, embedding: true, head: false };
  const fault = { session: id, volunteer, model: 'b'.repeat(64), range, reason: 'it lied', atMs: i };
  await Promise.all([
    store.history.sessionEnded({ ...session, primaries: [volunteer], shadows: [], faults: [], checks }),
    store.trust.credit(volunteer, 'wasm', 'own', 1, i),
    store.trust.credit('d'.repeat(64), 'wasm', 'others', 1, i),
    store.trust.failHidden('e'.repeat(64), { numericClass: 'wasm', reason: 'it lied', atMs: i }),
    store.trust.convict(fault, '{"proof":true}', { times: i + 1, untilMs: i + 1, reason: 'it lied' }),
  ]);
  process.stdout.write(`${id}\n`);
}
