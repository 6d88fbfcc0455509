import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { ReceiptVerdict } from '#shared/receipt/build/make-receipt.ts';
import type { Route } from '#shared/route/route.ts';
import { MAX_REASON, type EndReason, type KeptAnswer } from '../../conversations/kept-conversation.ts';
import type { KeptEvidence } from '../../conversations/kept-evidence.ts';
import { AnswerChecks } from './answer-checks.svelte.ts';
import { AnswerText, type TextPart } from './answer-text.ts';
import type { ChatEvent, MadeReceipt, ReceiptOutcome } from './chat.ts';
import { restoredReceipt } from './restored-receipt.ts';

export type AnswerPhase = 'connecting' | 'queued' | 'opening' | 'reading' | 'writing' | 'done' | 'failed';

/** Where one stage's part of a lap goes, in milliseconds, smoothed over the last laps. */
export interface StageTime {
  /** The kind of link on which the stage passes its results on; null before it has said so. */
  readonly onward: 'webrtc' | 'relay' | null;
  readonly queueMs: number;
  readonly runMs: number;
}

/** How fast old laps are forgotten in the smoothed times. */
const LAP_WEIGHT = 0.25;

type Routed = Extract<ChatEvent, { type: 'routed' }>;

/** One answer being made or made: its text, and all the page shows about how it came to be. */
export class ShownAnswer {
  phase: AnswerPhase = $state('connecting');
  /** The text with its verdicts. */
  parts: readonly TextPart[] = $state.raw([]);
  /** Tokens that have their verdict. */
  decidedTokens = $state(0);
  queuePosition = $state(0);
  prompt: { done: number; total: number } | null = $state.raw(null);
  links: Routed['links'] = $state.raw([]);
  stageTimes: readonly StageTime[] = $state.raw([]);
  /** Of one lap: what no stage accounts for. */
  wireMs: number | null = $state(null);
  lapMs: number | null = $state(null);
  tokens = $state(0);
  promptTokens: number | null = $state(null);
  firstTokenMs: number | null = $state(null);
  tokensPerSecond: number | null = $state(null);
  endReason: EndReason | null = $state(null);
  error: ChorusError | null = $state.raw(null);
  /** `making` from the end of the answer until its receipt is there or cannot be; null where there will be none. */
  receipt: 'making' | ReceiptOutcome | null = $state.raw(null);
  readonly checks = new AnswerChecks();

  readonly #startedAtMs: number;
  readonly #text = new AnswerText();
  #firstTokenAtMs = 0;
  /** What there is of the receipt while the log is waited for. */
  #signed: MadeReceipt | null = null;
  /** With those that were taken back. */
  #tokensMade = 0;

  constructor(startedAtMs: number) {
    this.#startedAtMs = startedAtMs;
  }

  /** The one it is on now. */
  get route(): Route | null {
    return this.checks.route;
  }

  get text(): string {
    return this.parts.map((part) => part.text).join('');
  }

  get isRunning(): boolean {
    return this.phase !== 'done' && this.phase !== 'failed';
  }

  apply(event: ChatEvent, nowMs: number): void {
    switch (event.type) {
      case 'queued':
        this.phase = 'queued';
        this.queuePosition = event.position;
        break;
      case 'routed':
        this.phase = this.tokens > 0 ? 'writing' : 'opening';
        this.checks.take(event.route);
        this.links = event.links;
        this.stageTimes = [];
        break;
      case 'prompt':
        this.phase = this.tokens > 0 ? 'writing' : 'reading';
        this.prompt = { done: event.done, total: event.total };
        break;
      case 'token':
        this.#token(event, nowMs);
        break;
      case 'rerouted':
        this.#text.withdraw(event.from);
        this.checks.reroute(event);
        this.#show();
        break;
      case 'redrawn':
        this.#text.withdraw(event.from);
        this.#show();
        break;
      case 'checked':
        this.#text.mark(event.check);
        this.checks.add(event.check);
        this.#show();
        break;
      case 'settling':
        this.checks.settle(event);
        break;
      case 'fault':
        this.checks.fault(event);
        break;
      case 'end':
        this.phase = 'done';
        this.#text.append(event.text);
        this.#text.close();
        this.checks.end(event);
        this.#show();
        this.endReason = event.reason;
        this.promptTokens = event.usage.promptTokens;
        if (event.hasEvidence) this.receipt = 'making';
        break;
      case 'signed':
        this.#signed = event.receipt;
        break;
      case 'receipt':
        this.receipt = { receipt: event.receipt, error: event.error };
        if (event.receipt !== null) this.#conclude(event.receipt.verdict);
        break;
    }
  }

  /** Its text and figures, to be kept. */
  get kept(): KeptAnswer {
    const { phase, endReason, tokens, promptTokens, firstTokenMs, tokensPerSecond, error, checks } = this;
    return {
      state: phase === 'done' || phase === 'failed' ? phase : 'running',
      parts: this.parts.map((part) => ({ ...part })),
      error: error && keptError(error),
      ...{ endReason, tokens, promptTokens, firstTokenMs, tokensPerSecond },
      tier: checks.tier,
      counts: { ...checks.counts },
    };
  }

  /** How it was made, to be kept beside it. */
  get evidence(): KeptEvidence {
    const { checks } = this;
    const outcome = this.receipt === 'making' ? this.#unfinishedReceipt : this.receipt;
    return structuredClone({
      routes: checks.routes,
      reroutes: checks.reroutes.map((each) => ({ ...each, reason: each.reason.slice(0, MAX_REASON) })),
      receipt: outcome && {
        receipt: outcome.receipt && withoutVerdict(outcome.receipt),
        error: outcome.error && keptError(outcome.error),
      },
    }) as KeptEvidence;
  }

  get #unfinishedReceipt(): ReceiptOutcome {
    const isSigned = this.#signed !== null;
    const left = new ChorusError('cancelled', `the page was left before it was ${isSigned ? 'in the log' : 'signed'}`);
    return { receipt: this.#signed, error: left };
  }

  /** Shows an answer that was kept. One that was being made when the page was left says so. */
  restore(kept: KeptAnswer, evidence: KeptEvidence | null): void {
    const { state, tokens, promptTokens, firstTokenMs, tokensPerSecond } = kept;
    const wasRunning = state === 'running';
    this.phase = state === 'failed' ? 'failed' : 'done';
    this.endReason = wasRunning ? 'interrupted' : kept.endReason;
    // Its verdicts are not to come any more.
    this.parts = kept.parts.map((part) => ({ ...part, tier: part.tier ?? 'unchecked' }));
    this.error = kept.error && thrownAgain(kept.error);
    Object.assign(this, { tokens, promptTokens, firstTokenMs, tokensPerSecond });
    this.decidedTokens = tokens;
    this.checks.restore(evidence, kept);
    const receipt = evidence?.receipt ?? null;
    this.receipt = receipt && {
      receipt: restoredReceipt(receipt.receipt),
      error: receipt.error && thrownAgain(receipt.error),
    };
  }

  /** Shows the route of the answer before, which the same session goes on with until told otherwise. */
  continueOn(before: ShownAnswer): void {
    this.links = before.links;
    if (before.route !== null) this.checks.take(before.route);
  }

  fail(thrown: unknown): void {
    const error = toChorusError(thrown);
    this.#text.close();
    this.checks.breakOff();
    this.#show();
    if (this.receipt === 'making') this.receipt = null;
    if (error.code === 'cancelled') {
      this.phase = 'done';
      this.endReason = 'cancelled';
      return;
    }
    this.phase = 'failed';
    this.error = error;
  }

  #conclude(verdict: ReceiptVerdict): void {
    this.checks.conclude(verdict);
    this.#text.judge(verdict.spans);
    this.#text.close();
    this.#show();
  }

  #token(event: Extract<ChatEvent, { type: 'token' }>, nowMs: number): void {
    this.phase = 'writing';
    this.#text.push(event.position, event.text);
    this.#show();
    this.#tokensMade++;
    if (this.firstTokenMs === null) {
      this.firstTokenMs = nowMs - this.#startedAtMs;
      this.#firstTokenAtMs = nowMs;
      // The first lap also reads the prompt; its times would drown those of the laps that follow.
      return;
    }
    const elapsedMs = nowMs - this.#firstTokenAtMs;
    this.tokensPerSecond = elapsedMs > 0 ? ((this.#tokensMade - 1) * 1000) / elapsedMs : null;
    this.#lap(event);
  }

  #show(): void {
    this.parts = this.#text.parts();
    this.tokens = this.#text.tokens;
    this.decidedTokens = this.tokens - this.#text.waiting;
  }

  #lap(event: Extract<ChatEvent, { type: 'token' }>): void {
    const count = this.route?.stages.length ?? 0;
    const times: StageTime[] = [];
    let inStagesMs = 0;
    for (let stage = 0; stage < count; stage++) {
      const before = this.stageTimes[stage];
      const hop = event.hops.find((candidate) => candidate.stage === stage);
      if (hop === undefined) {
        times.push(before ?? { onward: null, queueMs: 0, runMs: 0 });
        continue;
      }
      const queueMs = hop.queueUs / 1000;
      const runMs = (hop.decodeUs + hop.runUs + hop.encodeUs) / 1000;
      inStagesMs += queueMs + runMs;
      times.push({
        onward: hop.onward,
        queueMs: smooth(before?.queueMs, queueMs),
        runMs: smooth(before?.runMs, runMs),
      });
    }
    this.stageTimes = times;
    this.wireMs = smooth(this.wireMs, Math.max(0, event.lapMs - inStagesMs));
    this.lapMs = smooth(this.lapMs, event.lapMs);
  }
}

function smooth(before: number | null | undefined, now: number): number {
  return before === null || before === undefined ? now : before + LAP_WEIGHT * (now - before);
}

/** Its verdict is in its file. */
function withoutVerdict({ verdict: _verdict, ...receipt }: MadeReceipt): Omit<MadeReceipt, 'verdict'> {
  return receipt;
}

function keptError({ code, message, details, raw }: ChorusError): NonNullable<KeptAnswer['error']> {
  return {
    code,
    message: message.slice(0, MAX_REASON),
    // What is no plain data could not be stored.
    details: JSON.parse(JSON.stringify(details)) as Record<string, unknown>,
    raw: raw?.slice(0, MAX_REASON) ?? null,
  };
}

function thrownAgain({ code, message, details, raw }: NonNullable<KeptAnswer['error']>): ChorusError {
  return new ChorusError(code, message, details, raw);
}
