/**
 * How a volunteer without a browser gets a stage ready: `npx tsx test/bench/loading/main.ts DATA [--range 0-28] [--embedding] [--head]`.
 * DATA is a data folder with one imported model. Once with nothing kept, over HTTP on loopback, and once with all of it.
 */
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { figure, formatFigures, writeFigures, type Figure } from '../figures.ts';
import type { Loading, LoadingOrder } from './volunteer-main.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    range: { type: 'string', default: '' },
    embedding: { type: 'boolean', default: false },
    head: { type: 'boolean', default: false },
    slots: { type: 'string', default: '2' },
    json: { type: 'string' },
  },
});

/** Loads the stage in a process of its own. */
function load(order: LoadingOrder): Promise<Loading> {
  const program = new URL('./volunteer-main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, ['--expose-gc', '--import', 'tsx', program, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (text: Buffer) => (said += text.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) =>
      code === 0 ? resolve(JSON.parse(said) as Loading) : reject(new Error(`the volunteer ended with ${code}`)),
    );
  });
}

async function main(): Promise<void> {
  const [data = 'data'] = positionals;
  const [manifest = ''] = await readdir(join(data, 'models'));
  const server = createServer((request, response) => {
    const [start = 0, end = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).slice(1).map(Number);
    response.writeHead(206, { 'content-range': `bytes ${start}-${end}/*`, 'content-length': end - start + 1 });
    createReadStream(join(data, request.url!), { start, end }).pipe(response);
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => void server.once('listening', resolve));
  const folder = await mkdtemp(join(tmpdir(), 'chorus-loading-'));
  try {
    const order = {
      ...{ manifest: join(data, 'models', manifest), blobs: folder, slots: Number(values.slots) },
      ...{ range: values.range, embedding: values.embedding, head: values.head },
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    };
    const figures: Figure[] = [];
    for (const name of ['fresh', 'kept']) {
      const { readyMs, fetchMs, longestPauseMs, blobBytes, before, peak, after, memoryBytes, chargeBytes } =
        await load(order);
      const add = (what: string, unit: string, value: number): void =>
        void figures.push(figure(`${name}: ${what}`, unit, [value]));
      add('blobs', 'MB', blobBytes / 1e6);
      add('fetched or found in', 's', fetchMs / 1000);
      add('ready in', 's', readyMs / 1000);
      add('longest pause of the loop', 'ms', longestPauseMs);
      add('stage holds', 'MB', memoryBytes / 1e6);
      add('is charged', 'MB', chargeBytes / 1e6);
      add('resident before', 'MB', before / 1e6);
      add('resident at most', 'MB', peak / 1e6);
      add('resident after', 'MB', after / 1e6);
      add('most against after', 'times', peak / after);
    }
    process.stdout.write(`${formatFigures(figures)}\n`);
    if (values.json !== undefined) await writeFigures(values.json, process.argv.slice(2).join(' '), figures);
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
