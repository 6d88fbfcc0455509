/** One attack, in a process of its own: `attacker.ts URL NAME SECONDS`. Prints a line as it begins, and what came of it as JSON. */
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { attacks } from './attacks.ts';

const [, , url = '', name = '', seconds = '60'] = process.argv;
const attack = attacks[name];
if (attack === undefined) throw new Error(`no attack is called ${name}; there are ${Object.keys(attacks).join(', ')}`);
const network = (await (await fetch(`${url}/api/network`)).json()) as NetworkSnapshot;
const endMs = performance.now() + 1000 * Number(seconds);
const tally: Record<string, number> = {};
const end = (): void => {
  process.stdout.write(`${JSON.stringify(tally)}\n`);
  process.exit(0);
};
setTimeout(end, 1000 * Number(seconds) + 500);
process.stdout.write('begun\n');
await attack({
  url,
  model: network.models[0]!.digest,
  volunteers: network.volunteers.map(({ id }) => id),
  isOver: () => performance.now() >= endMs,
  note: (what, times = 1) => {
    tally[what] = (tally[what] ?? 0) + times;
  },
});
end();
