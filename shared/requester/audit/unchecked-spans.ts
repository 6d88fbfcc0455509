import type { StageCheck } from '../../judge/finding.ts';
import type { Route } from '../../route/route.ts';
import type { RowsMessage } from '../../wire/peer-message.ts';
import type { RecordSource } from './audit-replica.ts';
import type { AuditSpan } from './audit-span.ts';
import type { AuditHost, SpanAudit } from './span-audit.ts';
import type { SpanBook } from './span-book.ts';

/** The audit of a session that has one replica for each stage: tells for each span that nobody has checked it. */
export class UncheckedSpans implements SpanAudit {
  readonly deadlineMs = Infinity;
  readonly anchor = null;
  /** Replicas in the middle have no link, for nothing is asked of them before their record. */
  readonly live: readonly RecordSource[];
  readonly #book: SpanBook;
  readonly #host: Pick<AuditHost, 'judged'>;
  readonly #stages: readonly StageCheck[];

  constructor({ stages }: Route, book: SpanBook, host: Pick<AuditHost, 'judged'>) {
    this.#book = book;
    this.#host = host;
    this.#stages = stages.map(({ range, primary }, stage) => ({
      stage,
      range,
      tier: 'unchecked',
      primary: primary.id,
      primaryClass: primary.numericClass,
      findings: [],
      arbiter: null,
      reason: 'alone',
      drawnBy: null,
    }));
    this.live = stages.map(({ range, primary }, stage) => {
      return { ...primary, stage, range, role: 'primary', isLinked: false, last: null };
    });
  }

  received(rows: RowsMessage, end: number): void {
    this.#judge(this.#book.receive(rows, end));
  }

  cut(epoch: number, position: number): void {
    this.#judge(this.#book.cut(epoch, position));
  }

  closeSpan(): void {
    this.#judge(this.#book.close());
  }

  start(): void {}
  linked(): void {}
  unreachable(): void {}
  refused(): void {}
  onMessage(): void {}
  settled(): void {}
  onTime(): void {}

  #judge(closed: readonly AuditSpan[]): void {
    for (const { span } of closed) {
      this.#book.judge({ start: span.start, end: span.end, tier: 'unchecked', stages: this.#stages });
      this.#host.judged();
    }
  }
}
