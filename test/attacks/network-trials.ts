import { toChorusError } from '#shared/errors.ts';
import { channelScale } from '#shared/judge/channel-scale.ts';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import { only } from '../support/checked-network.ts';
import { chunkPlan, type TracedModel } from '../support/traces/tracer.ts';
import { createEngineTracer } from '../support/traces/engine-tracer.ts';
import { embeddingRow } from './embedding-row.ts';
import { keepingRows, type KeptRows } from './kept-rows.ts';
import { LiePlan } from './lie-plan.ts';
import type { ComputePool } from './memo-compute.ts';
import type { NetworkLiar, Substitute, Surroundings } from './network-liars.ts';
import { outcomeOf, type Outcome } from './outcome.ts';
import { generator, honestLevel } from './trace-attacks.ts';
import { WrenNetwork, type Role } from './wren-network.ts';

/** The default model in two stages, prompts, and what is computed of them. */
export interface NetworkStand {
  readonly model: TracedModel;
  readonly ranges: readonly StageRange[];
  readonly pool: ComputePool;
  readonly prompts: readonly (readonly number[])[];
  readonly substitutes: Surroundings['substitutes'];
  /** For each stage the input and output rows of a session that is none of the prompts. */
  readonly others: readonly { readonly input: Uint8Array<ArrayBuffer>[]; readonly output: Uint8Array<ArrayBuffer>[] }[];
}

const OTHER_POSITIONS = 128;
const GREEDY = { temperature: 0, topP: 1, seed: 0 };
/** Tokens of each answer: enough for a lie to show, and for the rest of a chunk. */
const NEW_TOKENS = 12;
const PROMPT = { shortest: 20, lengths: 60 };

/** Prompts are windows of `histories`, the last of which is the other session. */
export async function createNetworkStand(
  model: TracedModel,
  ranges: readonly StageRange[],
  pool: ComputePool,
  histories: readonly Uint32Array[],
  promptCount: number,
  substitutes: Readonly<Record<Substitute, TracedModel>>,
): Promise<NetworkStand> {
  const engine = createEngineTracer();
  let input = new Uint8Array(histories.at(-1)!.slice(0, OTHER_POSITIONS).buffer);
  const others: NetworkStand['others'][number][] = [];
  for (const range of ranges) {
    const [output] = await engine.trace(model, range, [{ input, plan: chunkPlan(OTHER_POSITIONS) }]);
    others.push({ input: splitRows(input, OTHER_POSITIONS), output: splitRows(output!, OTHER_POSITIONS) });
    input = output!;
  }
  const prompts = Array.from({ length: promptCount }, (_, i) => {
    const history = histories[i % (histories.length - 1)]!;
    const length = PROMPT.shortest + ((i * 37) % PROMPT.lengths);
    const from = (i * 61) % (history.length - length);
    return [...history.slice(from, from + length)];
  });
  return { model, ranges, pool, prompts, substitutes, others };
}

export interface NetworkTrial extends Outcome {
  readonly stage: number;
  /** How the whole answer failed; null if it did not. */
  readonly failure: string | null;
  /** Faults that the server found proven. */
  readonly proven: number;
  /** Proofs that the server believed against somebody who had done nothing. */
  readonly falseProofs: number;
}

export interface TrialOptions {
  readonly roles?: readonly Role[];
  readonly shadows?: number;
  /** Called with each network after its answer. */
  readonly onEnd?: ((network: WrenNetwork, stage: number) => Promise<void>) | undefined;
}

const truths = new WeakMap<readonly number[], Promise<readonly number[]>>();

/** The answers of honest replicas. */
export function truthOf(stand: NetworkStand, prompt: readonly number[]): Promise<readonly number[]> {
  const known = truths.get(prompt) ?? answerOf(stand, prompt);
  truths.set(prompt, known);
  return known;
}

async function answerOf({ model, ranges, pool }: NetworkStand, prompt: readonly number[]): Promise<readonly number[]> {
  const network = new WrenNetwork({ model, ranges, pool, roles: ['primary'], shadows: 0 });
  const events = await network.ask({ promptTokens: prompt, maxNewTokens: NEW_TOKENS, sampling: GREEDY });
  return only(events, 'token').map(({ token }) => token);
}

/** Answers in a network where every replica of `stage` in these roles tells the same lie. */
export async function* networkTrials(
  stand: NetworkStand,
  liar: NetworkLiar,
  stage: number,
  { roles = [liar.role], shadows = 1, onEnd }: TrialOptions = {},
): AsyncGenerator<NetworkTrial> {
  const { model, ranges, pool, substitutes, others } = stand;
  const range = ranges[stage]!;
  const { boundary } = model.manifest.pins;
  const kind = range.head ? 'logits' : 'hidden';
  const plan = new LiePlan();
  if (liar.lieIn !== undefined) plan.lieIn = liar.lieIn;
  const rows = {
    boundary,
    vocabularySize: model.manifest.config.vocabularySize,
    channelScale: channelScale(model.manifest),
    wanted: embeddingRow(model),
    honestLevel: honestLevel(ENGINE_CLASS, RUNTIME_CLASS, kind),
    others: others[stage]!.output,
    random: generator(`${liar.name} ${stage}`),
  };
  const around: Surroundings = { model, range, pool, plan, rows, otherInput: others[stage]!.input, substitutes };
  const isLiar = (member: { stage: number; role: Role }) => member.stage === stage && roles.includes(member.role);
  for (let i = 0; ; i++) {
    const prompt = stand.prompts[i % stand.prompts.length]!;
    const truth = await truthOf(stand, prompt);
    const honest: KeptRows = new Map();
    const network = new WrenNetwork({
      ...{ model, ranges, pool, shadows },
      computeOf: (member, compute) => {
        if (!isLiar(member)) return compute;
        const kept = keepingRows(compute, honest);
        return liar.compute?.(kept, around) ?? kept;
      },
      forgeOf: (member, own) =>
        isLiar(member) && liar.forge !== undefined
          ? liar.forge({ member, network: own, manifest: model.manifest, plan, honest })
          : null,
    });
    const liars = network.members.filter(isLiar).map(({ id }) => id);
    plan.begin(prompt.length);
    const events: AnswerEvent[] = [];
    const request = { promptTokens: prompt, maxNewTokens: NEW_TOKENS, sampling: GREEDY };
    const failure = await network
      .ask(request, (event) => events.push(event))
      .then(
        () => null,
        (error: unknown) => toChorusError(error).code,
      );
    await onEnd?.(network, stage);
    await pool.closeAll();
    const proven = network.reports.filter((fault) => fault !== null);
    yield {
      ...outcomeOf(events, truth, prompt.length, liars, plan.chunks),
      stage,
      failure,
      proven: proven.filter(({ accused }) => liars.includes(accused)).length,
      falseProofs: proven.filter(({ accused }) => !liars.includes(accused)).length,
    };
  }
}
