import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { npmPackages } from '../tools.ts'
import { windowsAddon } from '../windows/addon.ts'
import { linuxNodeForWindows, windowsNode } from '../windows/node.ts'

const run = promisify(execFile)
const repository = fileURLToPath(new URL('../../../', import.meta.url))

/** Of Node's documentation: where a build of Node looks for the application. */
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'

interface Parts {
  /** The Node that becomes the program. */
  node: string
  addon: string
  /** A Node of the same version that runs here. */
  maker: string
}

const partsOf: Readonly<Record<'windows' | 'linux', () => Promise<Parts>>> = {
  windows: async () => ({ node: await windowsNode(), addon: await windowsAddon(), maker: await linuxNodeForWindows() }),
  linux: async () => ({
    node: process.execPath,
    addon: path.join(repository, 'native/build/Release/proclabel.node'),
    maker: process.execPath,
  }),
}

/** Makes the agent as one file for 64-bit Windows, or for the Linux this runs on (nodejs.org/api/single-executable-applications.html). */
export async function buildSingleFile(system: 'windows' | 'linux', out: string): Promise<void> {
  const { node, addon, maker } = await partsOf[system]()
  const tools = path.join(await npmPackages('esbuild@0.28.2', 'postject@1.0.0-alpha.6'), 'node_modules')
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-single-'))
  try {
    const [bundle, blob, config] = ['bundle.cjs', 'blob', 'config.json'].map(name => path.join(folder, name)) as [
      string,
      string,
      string,
    ]
    await bundleInto(bundle, tools)
    const settings = {
      main: bundle,
      output: blob,
      disableExperimentalSEAWarning: true,
      assets: { 'proclabel.node': addon },
    }
    writeFileSync(config, JSON.stringify(settings))
    await run(maker, ['--experimental-sea-config', config])
    copyFileSync(node, out)
    chmodSync(out, 0o755)
    await run(process.execPath, [`${tools}/postject/dist/cli.js`, out, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', fuse])
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** One CommonJS file, which is all that a single-file build of Node can hold. */
async function bundleInto(file: string, tools: string): Promise<void> {
  const { build } = await import(pathToFileURL(`${tools}/esbuild/lib/main.js`).href)
  await build({
    entryPoints: [path.join(repository, 'services/cli/single-file.ts')],
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node22',
    legalComments: 'eof',
    loader: { '.avsc': 'json' },
    define: { 'import.meta.url': 'moduleUrl', 'import.meta.main': 'false' },
    banner: { js: "const moduleUrl = require('node:url').pathToFileURL(__filename).href" },
    plugins: [{ name: 'files read or required at run time', setup: includeFiles }],
  })
}

/** What is asked for by a name that only the running program knows, and what it becomes in the bundle. */
const runTimeFiles: readonly { file: RegExp; text: string; becomes: string }[] = [
  { file: /kafkajs-patches\.ts$/, text: 'const require = createRequire(import.meta.url)', becomes: '' },
  { file: /produce-request\.ts$/, text: 'createRequire(import.meta.url)(', becomes: 'require(' },
  {
    file: /host-record\.ts$/,
    text: "JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))",
    becomes: "require('../../package.json')",
  },
  {
    file: /generate-types\.ts$/,
    text: `JSON.parse(readFileSync(new URL(\`\${name}.avsc\`, import.meta.url), 'utf8'))`,
    becomes: `require(\`./\${name}.avsc\`)`,
  },
]

function includeFiles(build: {
  onLoad: (files: { filter: RegExp }, load: (file: { path: string }) => { contents: string; loader: 'ts' }) => void
}): void {
  for (const { file, text, becomes } of runTimeFiles) {
    build.onLoad({ filter: file }, ({ path: found }) => {
      const source = readFileSync(found, 'utf8')
      if (!source.includes(text))
        throw new Error(`${found} does not say '${text}' any more: the bundle would lack a file`)
      return { contents: source.replace(text, () => becomes), loader: 'ts' }
    })
  }
}
