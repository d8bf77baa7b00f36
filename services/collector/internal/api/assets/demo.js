// The demo shop: a page as a site's own developers would write it, using the SDK's functions,
// and a panel that shows what the SDK does with each event.
(() => {
  const maidian = window.maidian;
  const parameters = new URLSearchParams(location.search);
  const apiKey = parameters.get('key') || 'wk_demo';
  const readKey = parameters.get('read_key') || 'rk_demo';
  const query = parameters.get('query') || `${location.protocol}//${location.hostname}:8081`;
  const currency = 'EUR';

  const products = [
    {
      id: 'celadon-bowl',
      name: 'Celadon bowl',
      kind: 'Pottery',
      price: 38,
      picture: 'bowl',
      tone: 'celadon',
      text: 'Wide and shallow, for matcha or for soup. The glaze pools green at the foot.',
    },
    {
      id: 'side-handle-pot',
      name: 'Side-handle pot',
      kind: 'Pottery',
      price: 84,
      picture: 'pot',
      tone: 'clay',
      text: 'Pours with one hand and does not drip. We checked, for a year.',
    },
    {
      id: 'snow-cup',
      name: 'Snow cup',
      kind: 'Pottery',
      price: 22,
      picture: 'cup',
      tone: 'snow',
      text: 'White slip over dark clay. Sits in the palm and stays warm there.',
    },
    {
      id: 'spring-green',
      name: 'Spring green',
      kind: 'Tea',
      price: 16.5,
      picture: 'tin',
      tone: 'moss',
      text: 'First picking, pan-fired. 80 g. Sweet if the water is not too hot.',
    },
    {
      id: 'ash-vase',
      name: 'Ash vase',
      kind: 'Pottery',
      price: 61,
      picture: 'vase',
      tone: 'ink',
      text: 'For one branch. Two at the most.',
    },
    {
      id: 'oak-tray',
      name: 'Oak tray',
      kind: 'Wood',
      price: 47,
      picture: 'tray',
      tone: 'wood',
      text: 'Oiled, not varnished. Carries a pot, two cups and an argument.',
    },
  ];
  const cart = new Map(); // product → how many

  const $ = (id) => document.getElementById(id);
  const money = (amount) => new Intl.NumberFormat('en', { style: 'currency', currency }).format(amount);
  const make = (tag, className, ...children) => {
    const element = document.createElement(tag);
    element.className = className;
    element.append(...children);
    return element;
  };
  const button = (text, className, onClick) => {
    const element = make('button', className, text);
    element.addEventListener('click', onClick);
    return element;
  };

  // --- what the site tells by itself ---------------------------------------------------------------------------

  const about = (product) => ({
    product_id: product.id,
    product_name: product.name,
    category: product.kind,
    price: product.price,
  });

  const addToCart = (product) => {
    cart.set(product, (cart.get(product) || 0) + 1);
    showCart();
    maidian.trackEvent('cart_add', { properties: { ...about(product), quantity: 1 } });
  };

  const buy = () => {
    if (!cart.size) return;
    const items = [...cart].map(([product, quantity]) => ({ product_id: product.id, quantity, price: product.price }));
    maidian.trackEvent('purchase', {
      properties: { order_id: `demo-${Date.now()}`, amount: total(), currency, items },
    });
    maidian.forceFlush();
    cart.clear();
    showCart();
    $('checkout').close();
  };

  const search = (text) => {
    const words = text.trim().toLowerCase();
    const found = products.filter((product) => `${product.name} ${product.kind}`.toLowerCase().includes(words));
    showProducts(found);
    if (words) maidian.trackEvent('search', { properties: { query: words, results: found.length } });
  };

  const signIn = () => {
    const signedIn = $('sign-in').textContent === 'Sign in';
    maidian.setUserId(signedIn ? 'demo-ann' : null);
    $('sign-in').textContent = signedIn ? 'Sign out Ann' : 'Sign in';
    if (signedIn) maidian.trackEvent('sign_in');
    showCommands(signedIn ? 'demo-ann' : '');
  };

  // --- the shop ------------------------------------------------------------------------------------------------

  const picture = (product) => {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    use.setAttribute('href', `#${product.picture}`);
    svg.setAttribute('aria-hidden', 'true');
    svg.append(use);
    return svg;
  };

  const card = (product) => {
    const look = make('button', `picture ${product.tone}`, picture(product));
    look.setAttribute('aria-label', `Look at ${product.name}`);
    look.id = `look-${product.id}`;
    look.addEventListener('click', () => openProduct(product));
    const add = button('Add', 'solid add', () => addToCart(product));
    add.id = `add-${product.id}`;
    const price = make('span', 'price', money(product.price));
    return make(
      'article',
      'card',
      look,
      make(
        'div',
        'about',
        make('h3', '', product.name),
        make('span', 'kind', product.kind),
        make('div', 'row', price, add),
      ),
    );
  };

  const showProducts = (list) => {
    $('grid').replaceChildren(
      ...(list.length ? list.map(card) : [make('p', 'none', 'Nothing by that name. Try “tea”.')]),
    );
    $('found').textContent = list.length < products.length ? `${list.length} of ${products.length}` : '';
  };

  const total = () => [...cart].reduce((sum, [product, quantity]) => sum + product.price * quantity, 0);

  const showCart = () => {
    const count = [...cart.values()].reduce((a, b) => a + b, 0);
    $('cart-count').textContent = count;
    $('cart-sum').textContent = count ? ` · ${money(total())}` : '';
    const line = ([product, quantity]) =>
      make(
        'li',
        '',
        make('span', '', `${quantity} × ${product.name}`),
        make('span', '', money(product.price * quantity)),
      );
    $('lines').replaceChildren(...(cart.size ? [...cart].map(line) : [make('li', 'none', 'Still empty.')]));
    $('total').textContent = money(total());
    $('buy').disabled = !cart.size;
  };

  /** A product has an address of its own, as in any single-page shop: the SDK sees the page change by itself. */
  const productOf = () =>
    products.find((product) => product.id === new URLSearchParams(location.search).get('product'));
  const addressOf = (product) => {
    const url = new URL(location.href);
    url.hash = '';
    if (product) url.searchParams.set('product', product.id);
    else url.searchParams.delete('product');
    return url;
  };
  const openProduct = (product) => {
    history.pushState(null, '', addressOf(product));
    showPage();
  };
  const showPage = () => {
    const product = productOf();
    document.title = `${product ? product.name : 'Leaf & Kiln'} · Maidian demo shop`;
    if (!product) return $('product').close();
    const close = button('Keep looking', 'quiet', () => $('product').close());
    const add = button(`Add for ${money(product.price)}`, 'solid', () => {
      addToCart(product);
      $('product').close();
    });
    const text = make('p', '', product.text);
    $('product').firstElementChild.replaceChildren(
      make('div', `picture ${product.tone}`, picture(product)),
      make('h2', '', product.name),
      text,
      make('div', 'row', add, close),
    );
    if (!$('product').open) $('product').showModal();
    maidian.trackEvent('product_view', { properties: about(product) });
  };

  // --- the panel -----------------------------------------------------------------------------------------------

  const rows = new Map(); // event id → its line
  const states = new Map(); // event id → its fate
  const words = {
    queued: 'waiting',
    sending: 'sending',
    confirmed: 'stored',
    rejected: 'refused',
    dropped: 'given up',
    waiting: 'will retry',
  };
  const mostRows = 200;

  const detail = (event) => {
    const p = event.properties || {};
    if (event.event_type === 'scroll') return `${event.scroll_depth} %`;
    if (event.event_type === 'page_leave') return `${event.duration} s in sight`;
    if (event.event_type === 'purchase') return money(p.amount);
    if (event.event_type === 'search') return `“${p.query}”, ${p.results} found`;
    if (event.event_type === 'form_submit') return `${p.form_name}: ${(p.fields || []).join(', ')}`;
    if (p.product_name) return p.product_name;
    return event.element_text || event.element_id || (p.tag ? `<${p.tag}>` : new URL(event.page_url).pathname);
  };

  const show = (fate, events, why) => {
    for (const event of events) {
      let row = rows.get(event.event_id);
      if (!row) {
        row = make(
          'li',
          '',
          make('span', 'what', event.event_type),
          make('span', 'detail', detail(event)),
          make('span', 'fate'),
        );
        rows.set(event.event_id, row);
        $('log').prepend(row);
      }
      row.classList.value = fate;
      row.title = why || '';
      row.lastElementChild.textContent = words[fate];
      states.set(event.event_id, fate);
    }
    $('log').querySelector('.hint')?.remove();
    while ($('log').children.length > mostRows) $('log').lastElementChild.remove();
    if (fate === 'waiting' || fate === 'rejected') $('status').textContent = why;
    if (fate === 'confirmed') $('status').textContent = '';
    tally();
  };

  const tally = () => {
    const count = (...fates) => [...states.values()].filter((fate) => fates.includes(fate)).length;
    $('n-waiting').textContent = count('queued', 'sending', 'waiting');
    $('n-confirmed').textContent = count('confirmed');
    $('n-rejected').textContent = count('rejected', 'dropped');
    $('refused').hidden = !count('rejected', 'dropped');
  };

  const showCommands = (user) => {
    const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const head = `curl -H ${quote(`X-API-Key: ${readKey}`)}`;
    const of = user ? `&user_id=${user}` : '';
    $('curl-events').textContent = `${head} ${quote(`${query}/api/v1/analytics/events?limit=10${of}`)}`;
    const steps = JSON.stringify({ steps: ['product_view', 'cart_add', 'purchase'], days: 7 });
    $('curl-funnel').textContent = `${head} ${quote(`${query}/api/v1/analytics/funnel`)} -d ${quote(steps)}`;
  };

  // --- start ---------------------------------------------------------------------------------------------------

  if (matchMedia('(max-width: 62rem)').matches) $('panel').open = false;
  showProducts(products);
  showCart();
  showCommands('');
  const tracking = maidian.initTracking({ apiKey, userId: null, flushInterval: 2000, debug: parameters.has('debug') });
  tracking?.watch(show);

  const keepPage = (event) => event.preventDefault(); // the shop has no server to send its forms to
  $('search').addEventListener('submit', (event) => {
    keepPage(event);
    search(new FormData(event.target).get('q'));
  });
  $('newsletter').addEventListener('submit', (event) => {
    keepPage(event);
    event.target.reset();
    $('thanks').textContent = 'Thank you. We would write, if we were real.';
  });
  $('sign-in').addEventListener('click', signIn);
  $('cart').addEventListener('click', () => $('checkout').showModal());
  $('buy').addEventListener('click', buy);
  $('flush').addEventListener('click', () => maidian.forceFlush());
  for (const close of document.querySelectorAll('.close'))
    close.addEventListener('click', () => close.closest('dialog').close());
  $('product').addEventListener('close', () => {
    if (productOf()) {
      history.pushState(null, '', addressOf());
      showPage();
    }
  });
  addEventListener('popstate', showPage);
  if (productOf()) showPage();
})();
