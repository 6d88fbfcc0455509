import { parseArgs } from 'node:util';
import type { Route } from '#shared/route/route.ts';
import { startStallingNetwork, type Stall, type StallingNetwork } from '../support/stalling-network.ts';
import { readGoldenAnswers } from '../support/golden-answers.ts';
import { figure, formatFigures, writeFigures, type Figure } from './figures.ts';

/** One answer that lost its primary: how long it had nothing to say, and what it took back. */
interface Loss {
  readonly silenceMs: number;
  /** From the last token to the other route being taken, and from there until it is open; the rest is the replay. */
  readonly foundMs: number;
  readonly openedMs: number;
  /** From the first route being open to the first token: a prompt of the same length, undisturbed. */
  readonly firstMs: number;
  readonly reroutes: number;
}

const STALLS: readonly Stall[] = ['frozen', 'stuck', 'tarpit', 'gone'];
const never = new AbortController().signal;
const SAMPLING = { temperature: 0, topP: 1, seed: 0 };
/** Tokens before the loss, and after it. */
const BEFORE = 12;
const AFTER = 8;

const stories = readGoldenAnswers().chats.filter(({ prompt }) => prompt.length === 17);

/** `length` tokens that a story goes on after: others before it, which change with `round`. */
function promptOf(length: number, round: number): number[] {
  const told = stories.map(({ prompt, tokens }) => [...prompt, ...tokens.slice(0, 64)]);
  const [last] = told.splice(5, 1);
  const count = Math.floor((length - 18) / 81);
  const before = Array.from({ length: count }, (_, i) => told[(round + i) % told.length]!).flat();
  return [...before, ...last!].slice(0, length);
}

/** The longest wait for a token that was not said before, once the primary of `stage` stalls. */
async function lose(network: StallingNetwork, length: number, stage: number, how: Stall, round: number): Promise<Loss> {
  const conversation = network.requester.openConversation(network.model);
  const request = { promptTokens: promptOf(length, round), maxNewTokens: BEFORE + AFTER, sampling: SAMPLING };
  let route: Route | null = null;
  let [saidMs, silenceMs, reroutes, said] = [0, 0, 0, 0];
  let [foundMs, openedMs, firstMs, routedMs] = [NaN, NaN, NaN, NaN];
  for await (const event of conversation.generate({ ...request, signal: never })) {
    const sinceMs = performance.now() - saidMs;
    if (event.type === 'routed') {
      if (route === null) routedMs = performance.now();
      route = event.route;
      openedMs = sinceMs - foundMs;
    }
    if (event.type === 'rerouted') {
      reroutes += 1;
      foundMs = sinceMs;
    }
    if (event.type !== 'token') continue;
    const count = event.position + 1 - length;
    if (count <= said) continue;
    if (said === 0) firstMs = performance.now() - routedMs;
    said = count;
    if (said > BEFORE) silenceMs = Math.max(silenceMs, performance.now() - saidMs);
    saidMs = performance.now();
    if (said === BEFORE) network.stall(route!.stages[stage]!.primary.id, how);
  }
  conversation.close();
  if (silenceMs === 0) throw new Error(`an answer to ${length} tokens had only ${said}`);
  return { silenceMs, foundMs, openedMs, firstMs, reroutes };
}

/** The time to the next token where the primary of the first or of the last stage is lost. */
export async function measureFailover(rounds: number, stalls: readonly Stall[] = STALLS): Promise<Figure[]> {
  const network = await startStallingNetwork(6);
  const figures: Figure[] = [];
  try {
    await lose(network, 50, 0, 'tarpit', 0);
    await network.mend();
    for (const how of stalls) {
      for (const length of how === 'frozen' ? [50, 200, 400] : [200]) {
        for (const stage of [0, 1]) {
          const silences: number[] = [];
          for (let round = 1; round <= rounds; round++) {
            const { silenceMs, foundMs, openedMs, firstMs, reroutes } = await lose(network, length, stage, how, round);
            const parts = [silenceMs, foundMs, openedMs, firstMs].map(Math.round);
            console.error(`${how} ${length} stage ${stage}: ${parts.join(', ')} ms, ${reroutes} reroutes`);
            if (reroutes > 0) silences.push(silenceMs);
            await network.mend();
          }
          const place = stage === 0 ? 'first' : 'last';
          figures.push(figure(`${how} ${place} stage after ${length}: next token`, 'ms', silences));
        }
      }
    }
    return figures;
  } finally {
    await network.stop();
  }
}

if (import.meta.url === `file://${process.argv[1]}`) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '3' }, json: { type: 'string' }, only: { type: 'string' } },
  });
  const stalls = STALLS.filter((how) => values.only === undefined || values.only === how);
  const figures = await measureFailover(Number(values.rounds), stalls);
  console.log(formatFigures(figures));
  if (values.json !== undefined) await writeFigures(values.json, 'npx tsx test/bench/failover.ts', figures);
  process.exit();
}
