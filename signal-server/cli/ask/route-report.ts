import { shortId } from '#shared/ids.ts';
import { describeNumericClass } from '#shared/judge/numeric-class.ts';
import { describeRange } from '#shared/model/stage.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { HopTiming } from '#shared/wire/peer-message.ts';

/** The route of an answer and where its time went, in lines for people. */
export class RouteReport {
  readonly #startedAtMs: number;
  #firstTokenAtMs: number | null = null;
  #endedAtMs: number;
  readonly #laps: { readonly lapMs: number; readonly hops: readonly HopTiming[] }[] = [];

  constructor(startedAtMs: number) {
    this.#startedAtMs = startedAtMs;
    this.#endedAtMs = startedAtMs;
  }

  static describeRoute({ route, links }: Extract<AnswerEvent, { type: 'routed' }>): string[] {
    const stages = route.stages.map(({ range, primary, shadows }, stage) => {
      const link = links.find((each) => each.stage === stage);
      const shadowed = shadows.length > 0 ? `, shadowed by ${shadows.map(({ id }) => shortId(id)).join(' ')}` : '';
      return `  stage ${stage + 1}: ${shortId(primary.id)}  ${describeRange(range)}  (${describeNumericClass(primary.numericClass)}${link ? `, ${link.transport}` : ''}${shadowed})`;
    });
    return [
      `session ${shortId(route.session)}, ${route.stages.length} stages:`,
      ...stages,
      ...route.notes.map((note) => `  ${note}`),
    ];
  }

  static describeFault({ volunteer, stage, role, code, isProven }: Extract<AnswerEvent, { type: 'fault' }>): string {
    return `${shortId(volunteer)}, ${role} of stage ${stage + 1}, failed the check: ${code}${isProven ? ', proven' : ''}`;
  }

  add(event: AnswerEvent, atMs: number): void {
    this.#endedAtMs = atMs;
    if (event.type !== 'token') return;
    this.#firstTokenAtMs ??= atMs;
    this.#laps.push(event);
  }

  /** The first lap carries the prompt, so the medians are of those after it. */
  describeEnd(): string[] {
    if (this.#firstTokenAtMs === null) return [];
    const decodeMs = this.#endedAtMs - this.#firstTokenAtMs;
    const laps = this.#laps.slice(1);
    const speed = laps.length > 0 && decodeMs > 0 ? `, ${((1000 * laps.length) / decodeMs).toFixed(1)} tokens/s` : '';
    const first = `first token after ${Math.round(this.#firstTokenAtMs - this.#startedAtMs)} ms${speed}`;
    if (laps.length === 0) return [first];
    const stages = Math.max(...laps.map(({ hops }) => hops.length));
    const busy = Array.from({ length: stages }, (_, stage) => {
      const [queue, decode, run, encode] = (['queueUs', 'decodeUs', 'runUs', 'encodeUs'] as const).map((part) =>
        median(laps.map(({ hops }) => (hops[stage]?.[part] ?? 0) / 1000)),
      );
      const parts = `${ms(queue)} queue, ${ms(decode)} decode, ${ms(run)} run, ${ms(encode)} encode`;
      return `  stage ${stage + 1}: ${parts}`;
    });
    const wire = median(laps.map(({ lapMs, hops }) => lapMs - hops.reduce((sum, hop) => sum + totalUs(hop), 0) / 1000));
    return [
      first,
      `a token's way round, median ${ms(median(laps.map(({ lapMs }) => lapMs)))} ms:`,
      ...busy,
      `  wire and the rest: ${ms(wire)}`,
    ];
  }
}

function totalUs({ queueUs, decodeUs, runUs, encodeUs }: HopTiming): number {
  return queueUs + decodeUs + runUs + encodeUs;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function ms(value = 0): string {
  return value.toFixed(2);
}
