declare module 'virtual:made-receipts' {
  import type { MadeReceipts } from './made-receipts.ts';

  export const made: MadeReceipts;
}
