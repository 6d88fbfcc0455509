import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { AnswerEvent, GenerateRequest } from '#shared/requester/answer-event.ts';
import type { Plan } from './answer-plan.ts';
import type { GatewayModel } from './gateway-models.ts';
import { runAnswer, type AnswerDeps } from './run-answer.ts';
import { openAskers } from './start-gateway.ts';
import { systemRandom as random } from '../machine/system-clock.ts';
import type { Asker } from '../node-peer/requester-pool.ts';
import { Draw } from '../routing/draw.ts';
import type { Companion, CompanionContext } from '../server.ts';
import type { HiddenRun, HiddenRunner } from '../hidden/hidden-run.ts';
import type { ShapeMemory } from '../hidden/hidden-shape.ts';
import { PromptStock } from '../hidden/prompt-stock.ts';

/** Tokens of a message that is written for a later prompt. */
const MESSAGE_TOKENS = 200;
/** An answer ends where the model ends it, or here: only the longest are told by that. */
const MOST_ANSWER_TOKENS = 512;

/** The first work of a volunteer: enough for a span and some laps, and over in a moment. */
const TRIAL = { promptTokens: 8, answerTokens: 8 };

export interface HiddenContext extends CompanionContext {
  readonly shapes: Pick<ShapeMemory, 'draw'>;
}

/** How one answer is asked for, besides its plan. */
interface Asking {
  readonly isWithTarget: boolean;
  /** Tokens after which it is enough; null as long as the plan says. */
  readonly answerTokens: number | null;
  readonly shadows?: number;
}

/**
 * Hidden sessions in the server's process: by the gateway's own way of asking, from its requesters to its receipts. The first
 * one of a volunteer, which everybody knows to be hidden, is short and has no receipt.
 */
export function startHidden(context: HiddenContext): Promise<Companion & HiddenRunner> {
  const { shapes } = context;
  const { requesters, giveReceipt, models, stop } = openAskers(context);
  const draw = new Draw(random);
  const stocks = new Map<Digest, PromptStock>();

  function stockOf({ digest, manifest, text }: GatewayModel): PromptStock {
    const stock = stocks.get(digest) ?? new PromptStock(text, manifest.config.vocabularySize, () => draw.uniform());
    stocks.set(digest, stock);
    return stock;
  }

  /** The text of one answer. */
  async function ask(
    run: HiddenRun,
    model: GatewayModel,
    plan: Plan & { temperature: number; topP: number },
    asking: Asking,
    receipts: AnswerDeps['giveReceipt'],
  ): Promise<string> {
    const deps = {
      requesters: { take: async () => watched(await requesters.take(), run, asking) },
      giveReceipt: receipts,
    };
    const request = { stop: [], stream: true, release: 'early' as const };
    let text = '';
    for await (const part of runAnswer(
      deps,
      model,
      request,
      { ...plan, seed: Math.floor(draw.uniform() * 2 ** 32) },
      run.signal,
    )) {
      if (part.type === 'text') text += part.text;
    }
    return text;
  }

  async function runTrial(run: HiddenRun, model: GatewayModel): Promise<void> {
    const { promptTokens, answerTokens } = TRIAL;
    const plan = { prompt: null, promptTokens: stockOf(model).randomTokens(promptTokens) };
    const sampling = { temperature: 1, topP: 1, maxNewTokens: answerTokens };
    await ask(run, endless(model), { ...plan, ...sampling }, { isWithTarget: true, answerTokens: null }, null);
  }

  async function runLater(run: HiddenRun, model: GatewayModel): Promise<void> {
    const stock = stockOf(model);
    const { maxPositions } = model.manifest.config;
    const { temperature, topP, ...shape } = shapes.draw();
    const most = Math.floor(maxPositions / 2);
    // Two for the one that is used, until there are enough.
    for (let i = 0; i < 2 && stock.isShort; i++) {
      const promptTokens = await stock.opening();
      const maxNewTokens = Math.min(MESSAGE_TOKENS, most);
      const plan = { prompt: null, promptTokens, maxNewTokens, temperature: 1, topP: 1 };
      stock.add(await ask(run, model, plan, { isWithTarget: false, answerTokens: null, shadows: 0 }, null));
    }
    const prompt = await stock.take(Math.min(shape.promptTokens, most));
    const maxNewTokens = Math.min(shape.maxNewTokens, maxPositions - prompt.promptTokens.length);
    const plan = { ...prompt, maxNewTokens, temperature, topP };
    const asking = { isWithTarget: true, answerTokens: MOST_ANSWER_TOKENS };
    stock.answered(await ask(run, model, plan, asking, giveReceipt));
  }

  return Promise.resolve({
    async run(run) {
      const model = await models.openDigest(run.model);
      if (model === null) throw new ChorusError('unknown-model', 'the server no longer has the model');
      await (run.kind === 'trial' ? runTrial(run, model) : runLater(run, model));
    },
    stop() {
      stop();
      return Promise.resolve();
    },
  });
}

/** The model without tokens that end an answer: after tokens by chance, one of these is soon drawn, and there would be no laps. */
function endless(model: GatewayModel): GatewayModel {
  const { manifest } = model;
  return { ...model, manifest: { ...manifest, config: { ...manifest.config, endTokens: [] } } };
}

/** The asker as it is, its key and its events told of. */
function watched(
  asker: Asker,
  { onAsker, onEvent }: HiddenRun,
  { isWithTarget, answerTokens, shadows }: Asking,
): Asker {
  onAsker(asker.identity.id, isWithTarget);
  return {
    ...asker,
    requester: {
      openConversation(model) {
        const conversation = asker.requester.openConversation(model, shadows === undefined ? {} : { shadows });
        const isComplete = (answer: readonly number[]): boolean => answer.length >= (answerTokens ?? Infinity);
        return {
          generate: (request: GenerateRequest & { readonly signal: AbortSignal }) =>
            told(conversation.generate({ ...request, isComplete }), isWithTarget ? onEvent : () => undefined),
          close: () => conversation.close(),
        };
      },
    },
  };
}

async function* told(
  events: AsyncGenerator<AnswerEvent, void, undefined>,
  tell: (event: AnswerEvent) => void,
): AsyncGenerator<AnswerEvent, void, undefined> {
  for await (const event of events) {
    tell(event);
    yield event;
  }
}
