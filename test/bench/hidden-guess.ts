import { appendFile, cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { z } from 'zod';
import { sessionIdSchema, type SessionId } from '#shared/ids.ts';

import { startGateway } from '../../signal-server/gateway/start-gateway.ts';
import { startHidden } from '../../signal-server/gateway/start-hidden.ts';
import { startAnchors } from '../../signal-server/node-peer/anchors.ts';
import { importWren } from '../support/imported-wren.ts';
import { startRecordingProxy, type SeenMessage, type SeenSession } from '../support/recording-proxy.ts';
import { startTestServer, type TestServer } from '../support/signal-server.ts';
import { startWrenVolunteer } from '../support/wren-volunteer.ts';

/**
 * Writes what one volunteer can measure of each of its sessions, hidden ones and answers of the gateway, as JSON lines
 * `{ hidden, features }`, for a classifier to be trained on: `npx tsx test/bench/hidden-guess.ts SESSIONS FILE`. Prints counts.
 */
const [SESSIONS, FILE] = [Number(process.argv[2] ?? 400), process.argv[3] ?? 'hidden-guess.jsonl'];
/** Sessions of one volunteer, whose messages are all kept until it leaves. */
const BATCH = 120;
const ANCHORS = 4;
/** Mean time from one question to the next. */
const MEAN_PAUSE_MS = 1_000;
const provenanceSchema = z.object({ chorus: z.object({ session: sessionIdSchema }) });

const wren = await importWren();
const server = await startTestServer({
  config: { anchors: ANCHORS, hidden: { meanMs: 400, share: 0.3 } },
  manifests: [wren.manifest],
  companions: {
    async startGateway(context) {
      await cp(join(wren.dataFolder, 'blobs'), context.dataFolder.blobsPath, { recursive: true });
      return startGateway(context);
    },
    startHidden,
    startAnchors: (context) => startAnchors(context, { pledgeBytes: 2 ** 30, slots: 4 }),
  },
});
const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
await until(() => countReady(server) === ANCHORS);

const counts = { real: 0, hidden: 0 };
let seed = 1;
/** Numbers in [0, 1) that are the same in every run. */
const chance = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;

await writeFile(FILE, '');
while (counts.real + counts.hidden < SESSIONS) {
  for (const [hidden, features] of await batch()) {
    await appendFile(FILE, `${JSON.stringify({ hidden, features })}\n`);
    counts[hidden ? 'hidden' : 'real'] += 1;
  }
  console.log(`${counts.real} sessions of the gateway, ${counts.hidden} hidden`);
}
await server.stop();
process.exit();

/** What people ask in this experiment: messages in the model's own manner, so that text alone tells nothing. */
async function writeMessages(count: number): Promise<string[]> {
  const messages: string[] = [];
  for (let i = 0; messages.length < count; i++) {
    const { choices } = await client.completions.create({
      ...{ model: 'wren', prompt: '<|im_start|>user\n', stop: ['<|im_end|>'], max_tokens: 96, temperature: 1 },
      seed: Math.floor(chance() * 2 ** 32) + i,
    });
    const text = choices[0]!.text.trim();
    if (text !== '' && choices[0]!.finish_reason === 'stop') messages.push(text);
  }
  return messages;
}

/** The sessions of one fresh volunteer, while people ask at times by chance. */
async function batch(): Promise<[boolean, number[]][]> {
  const messages = await writeMessages(BATCH);
  const proxy = await startRecordingProxy(server.url);
  const volunteer = await startWrenVolunteer(proxy.url);
  await until(() => {
    const own = server.server.snapshot().volunteers.find(({ id }) => id === volunteer.identity.id);
    return own?.gate === 'open' && own.state === 'ready';
  });
  const asked = new Set<SessionId>();
  let answered: OpenAI.ChatCompletionMessageParam[] = [];
  const ask = async (content: string): Promise<void> => {
    // A third goes on with the conversation before, as clients of the API do.
    const before = chance() < 0.33 && answered.length < 6 ? answered : [];
    const turns: OpenAI.ChatCompletionMessageParam[] = [...before, { role: 'user', content }];
    const answer = await client.chat.completions.create({
      ...{ model: 'wren', temperature: chance() < 0.3 ? 0 : 1, seed: Math.floor(chance() * 2 ** 32), messages: turns },
      ...(chance() < 0.4 && { max_tokens: 16 + Math.floor(80 * chance()) }),
    });
    answered = [...turns, { role: 'assistant', content: answer.choices[0]!.message.content }];
    asked.add(provenanceSchema.parse(answer).chorus.session);
  };
  const answers: Promise<void>[] = [];
  for (const content of messages) {
    // People do not wait for each other.
    await sleep(-MEAN_PAUSE_MS * Math.log(1 - chance()));
    answers.push(ask(content));
  }
  await Promise.all(answers);
  const seen = [...proxy.sessions()].filter(
    ([, { seat, messages }]) => seat !== null && messages.some(({ message }) => message.type === 'close'),
  );
  await volunteer.leave();
  await proxy.stop();
  // The first is known to be hidden.
  return seen.slice(1).map(([id, session], i) => [!asked.has(id), featuresOf(session, seen[i]![1])]);
}

/** Places, lengths and times of a session, and of the pause before it. */
function featuresOf({ seat, messages }: SeenSession, before: SeenSession): number[] {
  const { stage, role, capacity, shadows, forward } = seat!;
  const of = (from: SeenMessage['from'], type: string): SeenMessage[] =>
    messages.filter((each) => each.from === from && each.message.type === type);
  const rows = of('other', 'rows');
  const counts = rows.flatMap(({ message }) => (message.type === 'rows' ? [message.rows.count] : []));
  const tokens = rows.flatMap(({ message }) =>
    message.type === 'rows' && message.rows.kind === 'tokens' ? [...tokensIn(message.rows.bytes)] : [],
  );
  const sum = counts.reduce((total, count) => total + count, 0);
  const prompt = sum - counts.filter((count) => count === 1).length;
  const gaps = rows.slice(1).map(({ atMs }, i) => atMs - rows[i]!.atMs);
  const firstMs = messages[0]!.atMs;
  const atOf = (type: string, from: SeenMessage['from'] = 'other'): number =>
    (of(from, type)[0]?.atMs ?? firstMs) - firstMs;
  const lastMs = rows.at(-1)?.atMs ?? firstMs;
  return [
    ...[stage, role === 'primary' ? 1 : 0, capacity, shadows.length, forward?.webrtc === true ? 1 : 0],
    ...[sum, prompt, rows.length, Math.max(0, ...counts), messages.length],
    ...[...spread(gaps), lastMs - firstMs, (rows[0]?.atMs ?? firstMs) - firstMs],
    ...['audit', 'check', 'challenge', 'record', 'progress', 'cut', 'close'].map((type) => of('other', type).length),
    ...['audit', 'check', 'challenge', 'record', 'progress', 'close'].map((type) => atOf(type)),
    ...[atOf('commit', 'self'), atOf('reveal', 'self'), atOf('recorded', 'self')],
    ...[(of('other', 'record')[0]?.atMs ?? lastMs) - lastMs, messages.at(-1)!.atMs - lastMs],
    firstMs - before.messages.at(-1)!.atMs,
    ...[new Set(tokens).size / Math.max(1, tokens.length), ...spread(tokens)],
    ...[tokens.at(-1) ?? -1, ...Array.from({ length: 12 }, (_, i) => tokens[i] ?? -1)],
  ];
}

/** uint32, little-endian. */
function tokensIn({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): number[] {
  const view = new DataView(buffer, byteOffset, length);
  return Array.from({ length: length / 4 }, (_, i) => view.getUint32(4 * i, true));
}

function spread(values: readonly number[]): number[] {
  if (values.length === 0) return [-1, -1, -1, -1];
  const mean = values.reduce((total, value) => total + value, 0) / values.length;
  const variance = values.reduce((total, value) => total + (value - mean) ** 2, 0) / values.length;
  return [mean, Math.sqrt(variance), Math.min(...values), Math.max(...values)];
}

function countReady({ server: { snapshot } }: TestServer): number {
  return snapshot().volunteers.filter(({ state }) => state === 'ready').length;
}

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    if (tries === 600) throw new Error('the network did not start within 60 s');
    await sleep(100);
  }
}
