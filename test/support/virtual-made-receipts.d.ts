declare module 'virtual:made-receipts' {
  export const made: import('./made-receipts.ts').MadeReceipts;
}
