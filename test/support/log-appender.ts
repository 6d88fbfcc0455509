import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { openLog } from '../../signal-server/log/transparency-log.ts';
import { openKeyFile } from '../../signal-server/machine/key-file.ts';

/**
 * A process that appends to a log until it is killed: `FOLDER KEY ORIGIN CLIENTS RUN`, and on standard input the least
 * size that the log may have, at which it begins. Each line on standard output has left the process when it is written:
 * `begin`, then `head BASE64` for every checkpoint it serves and `ack INDEX ENTRY` for every entry that was acknowledged.
 */
const [folder, keyPath, origin, clients, run] = process.argv.slice(2) as [string, string, string, string, string];
const say = (line: string): void => void writeSync(1, `${line}\n`);

const identity = await openKeyFile(keyPath);
const [leastSize] = (await once(process.stdin, 'data')) as [Buffer];
say('begin');
const log = await openLog({ folder, origin, identity, leastSize: Number(leastSize.toString()) });
let shown = '';
const showHead = (): void => {
  if (log.head.note !== shown) say(`head ${toBase64(utf8(log.head.note))}`);
  shown = log.head.note;
};
showHead();

async function appendForever(client: number): Promise<void> {
  for (let number = 0; ; number++) {
    const entry = `run ${run} client ${client} entry ${number}`;
    const index = await log.append(utf8(entry));
    showHead();
    say(`ack ${index} ${entry}`);
  }
}
await Promise.all(Array.from({ length: Number(clients) }, (_, client) => appendForever(client)));
