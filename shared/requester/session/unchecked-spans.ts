import type { StageCheck } from '../../judge/finding.ts';
import type { Route } from '../../route/route.ts';
import { chunkEnd } from '../../rows/chunk.ts';
import type { RecordSource } from '../attest/record-collector.ts';
import type { AuditEffect, AuditEvent } from '../audit/audit-event.ts';

/** The audit of a session that has one replica for each stage: tells for each span that nobody has checked it. */
export class UncheckedSpans {
  readonly deadlineMs = Infinity;
  readonly isSpent = false;
  readonly anchor = null;
  /** Of those in the middle there is no link, for nothing is asked of them before their record. */
  readonly live: readonly RecordSource[];
  readonly #stages: readonly StageCheck[];
  #start = 0;
  #end = 0;

  constructor({ stages }: Route) {
    this.#stages = stages.map(({ range, primary }, stage) => ({
      stage,
      range,
      tier: 'unchecked',
      primary: primary.id,
      primaryClass: primary.numericClass,
      findings: [],
      arbiter: null,
    }));
    this.live = stages.map(({ range, primary }, stage) => {
      return { ...primary, stage, range, role: 'primary', isLinked: false, last: null };
    });
  }

  handle(event: AuditEvent): AuditEffect[] {
    switch (event.type) {
      case 'received':
        this.#end = event.end;
        return event.end === chunkEnd(this.#start) ? this.#close() : [];
      case 'cut':
        this.#start = Math.min(this.#start, event.position);
        this.#end = Math.min(this.#end, event.position);
        return [];
      case 'close-span':
        return this.#close();
      default:
        return [];
    }
  }

  #close(): AuditEffect[] {
    const [start, end] = [this.#start, this.#end];
    if (start === end) return [];
    this.#start = end;
    return [{ type: 'checked', check: { start, end, tier: 'unchecked', stages: this.#stages }, agreed: [] }];
  }
}
