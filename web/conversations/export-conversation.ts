import type { Digest } from '#shared/ids.ts';
import { formatReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import type { KeptConversation, KeptId } from './kept-conversation.ts';
import type { KeptEvidence } from './kept-evidence.ts';

/** One answer of an exported conversation. `receipt` and `secrets` are what the files of the same names hold. */
interface ExportedTurn {
  readonly id: KeptId;
  /** The turn it follows; null for a first question. */
  readonly parent: KeptId | null;
  readonly askedAt: string;
  readonly question: string;
  readonly leftOut: number;
  readonly answer: string;
  readonly ended: string | null;
  readonly tier: string | null;
  readonly receiptId: Digest | null;
  readonly receipt: unknown;
  readonly secrets: unknown;
}

/**
 * A conversation as a JSON file: every branch of it, with receipts, salts, prompts and tokens. Each `receipt` is a receipt
 * file and each `secrets` a file of its secrets, as `chorus verify` takes them.
 */
export function exportConversation(
  { id, title, createdAtMs, updatedAtMs, leaf, turns }: KeptConversation,
  evidenceOf: (turn: KeptId) => KeptEvidence | null,
): string {
  const exported = turns.map(({ question, answer, askedAtMs, ...turn }): ExportedTurn => {
    const receipt = evidenceOf(turn.id)?.receipt?.receipt ?? null;
    return {
      ...turn,
      askedAt: new Date(askedAtMs).toISOString(),
      question,
      answer: answer.parts.map(({ text }) => text).join(''),
      ended: answer.endReason ?? answer.error?.message ?? null,
      tier: answer.tier,
      receiptId: receipt?.id ?? null,
      receipt: receipt?.file ?? null,
      secrets: receipt && (JSON.parse(formatReceiptSecrets(receipt.secrets)) as unknown),
    };
  });
  const [createdAt, updatedAt] = [createdAtMs, updatedAtMs].map((atMs) => new Date(atMs).toISOString());
  const file = { format: 'chorus-conversation/1', id, title, createdAt, updatedAt, leaf, turns: exported };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** A name for the exported file that every file system takes. */
export function exportName(title: string): string {
  const plain = title
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{Mark}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
  return `conversation${plain === '' ? '' : `-${plain}`}.json`;
}
