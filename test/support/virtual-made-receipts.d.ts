declare module 'virtual:made-receipts' {
  // An import statement in an ambient module cannot name a file.
  // eslint-disable-next-line @typescript-eslint/consistent-type-imports
  export const made: import('./made-receipts.ts').MadeReceipts;
}
