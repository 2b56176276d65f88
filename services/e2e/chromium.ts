import { createRequire } from 'node:module'
import { join } from 'node:path'
import { debianCommand, npmPackages } from '../deploy/tools.ts'

/** As much of Puppeteer as is used: it is installed when a test needs it. */
export interface Page {
  goto: (url: string) => Promise<unknown>
  evaluate: <T>(script: string) => Promise<T>
  waitForFunction: (script: string) => Promise<unknown>
  on: (event: 'request' | 'pageerror', listener: (what: { url: () => string; message: string }) => void) => void
  emulateMediaFeatures: (features: { name: string; value: string }[]) => Promise<void>
  setJavaScriptEnabled: (enabled: boolean) => Promise<void>
  setViewport: (size: { width: number; height: number }) => Promise<void>
  keyboard: { press: (key: string) => Promise<void>; type: (text: string) => Promise<void> }
  close: () => Promise<void>
}

export interface Chromium {
  newPage: () => Promise<Page>
  close: () => Promise<void>
  /** Source of axe-core, which looks for what hinders people with disabilities. */
  axePath: string
}

/** Debian's Chromium without a window. */
export async function startChromium(): Promise<Chromium> {
  const executablePath = await debianCommand('chromium')
  const packages = join(await npmPackages('puppeteer-core@25.16.0', 'axe-core@4.14.1'), 'node_modules/')
  const { default: puppeteer } = await import(createRequire(packages).resolve('puppeteer-core'))
  const browser = await puppeteer.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu'],
    timeout: 120_000,
    protocolTimeout: 300_000,
  })
  return {
    newPage: async () => {
      const page = await browser.newPage()
      page.setDefaultTimeout(120_000)
      return page
    },
    close: () => browser.close(),
    axePath: createRequire(packages).resolve('axe-core/axe.min.js'),
  }
}
