/** Put in by the build from package.json. */
declare const __MILLWRIGHT_VERSION__: string
