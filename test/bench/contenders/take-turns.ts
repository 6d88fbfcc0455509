import type { Contender } from './contender.ts';
import { watchOthers } from './others.ts';
import { letterPrompt } from './prompt.ts';
import type { TabMemory } from './tab.ts';

export interface Rival extends Contender {
  readonly name: string;
  /** What it runs in, with its version. */
  readonly runsIn: string;
  /** Null where the model is in no tab. */
  memory(): Promise<TabMemory | null>;
  stop(): Promise<void>;
}

export interface Plan {
  readonly rounds: number;
  /** Tokens drawn after a short prompt. */
  readonly tokens: number;
  readonly prompts: readonly number[];
  /** How far a context reaches where steps are compared. */
  readonly depths: readonly number[];
  readonly steps: number;
}

/** One thing that is measured of all rivals. */
export interface Column {
  readonly name: string;
  readonly unit: 'tokens/s' | 'ms';
  /** One value of each round. */
  readonly values: ReadonlyMap<Rival, readonly number[]>;
}

export interface Measured {
  readonly columns: readonly Column[];
  readonly memory: ReadonlyMap<Rival, { readonly loaded: TabMemory | null; readonly used: TabMemory | null }>;
  /** The token that each drew after each prompt that was read, in the order of prompts. */
  readonly firstTokens: ReadonlyMap<Rival, readonly number[]>;
  /** Cores that other programs kept busy, in each turn. */
  readonly others: readonly number[];
}

const SHORT_PROMPT = 16;

/** Whoever begins a round ends the next, so that a machine that gets busier or quieter is so for all. */
export async function takeTurns(
  rivals: readonly Rival[],
  plan: Plan,
  onProgress: (text: string) => void,
): Promise<Measured> {
  const firstTokens = new Map<Rival, number[]>(rivals.map((rival) => [rival, []]));
  const others: number[] = [];
  let seed = 0;

  async function read(rival: Rival, length: number, own: number): Promise<number> {
    const { ms, token } = await rival.read(letterPrompt(length, own));
    firstTokens.get(rival)!.push(token);
    return ms;
  }

  async function measure(
    name: string,
    unit: Column['unit'],
    turn: (rival: Rival, seed: number) => Promise<number>,
  ): Promise<Column> {
    const values = new Map<Rival, number[]>(rivals.map((rival) => [rival, []]));
    for (let round = 0; round < plan.rounds; round++) {
      onProgress(`${name}, round ${round + 1} of ${plan.rounds}`);
      seed++;
      for (const rival of round % 2 === 0 ? rivals : rivals.toReversed()) {
        const { result, cores } = await watchOthers(() => turn(rival, seed));
        values.get(rival)!.push(result);
        others.push(cores);
      }
    }
    return { name, unit, values };
  }

  const loaded = new Map<Rival, TabMemory | null>();
  for (const rival of rivals) {
    loaded.set(rival, await rival.memory());
    onProgress(`warming up ${rival.name}`);
    await rival.read(letterPrompt(SHORT_PROMPT, 0));
    await rival.goOn(plan.tokens);
  }

  const columns: Column[] = [];
  columns.push(
    await measure('decode', 'tokens/s', async (rival, own) => {
      await read(rival, SHORT_PROMPT, own);
      return (1000 * plan.tokens) / (await rival.goOn(plan.tokens));
    }),
  );
  for (const length of plan.prompts) {
    columns.push(
      await measure(
        `prefill of ${length}`,
        'tokens/s',
        async (rival, own) => (1000 * length) / (await read(rival, length, own)),
      ),
    );
  }
  for (const depth of plan.depths) {
    onProgress(`reading ${depth} positions`);
    seed++;
    for (const rival of rivals) await read(rival, depth, seed);
    columns.push(
      await measure(`a step at ${depth}`, 'ms', async (rival) => (await rival.goOn(plan.steps)) / plan.steps),
    );
  }

  const memory = new Map<Rival, { loaded: TabMemory | null; used: TabMemory | null }>();
  for (const rival of rivals) {
    memory.set(rival, { loaded: loaded.get(rival) ?? null, used: await rival.memory() });
  }
  return { columns, memory, firstTokens, others };
}
