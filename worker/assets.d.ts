/** What the bundler makes of an asset: its address. */
declare module '*?url' {
  const url: string;
  export default url;
}

interface ImportMeta {
  /** Set by the bundler; absent in Node. */
  readonly env: { readonly PROD: boolean };
}
