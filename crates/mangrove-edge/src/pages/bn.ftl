# What error pages say, in Bengali. The shape is that of en.ftl; `reason-…` at the end gives each named reason in
# Bengali, where English takes the sentence that the code itself carries.

where = সমস্যাটি কোথায়
visitor = আপনি
edge = ম্যানগ্রোভ এজ
origin = ওয়েবসাইট

visitor-ok = সংযুক্ত
visitor-bad = সমস্যা এখানে
edge-ok = ঠিক আছে
edge-bad = সমস্যা এখানে
origin-bad = সমস্যা এখানে
origin-not-asked = জিজ্ঞাসা করা হয়নি
origin-not-known = জানা নেই

todo-label = আপনি যা করতে পারেন
owner-label = ওয়েবসাইটটি আপনার হলে
status-label = অবস্থা
reason-label = কারণ
host-label = হোস্ট
time-label = সময়
request-id-label = অনুরোধ নম্বর

visitor-request = অনুরোধটি বোঝা গেল না
    .happened = আপনার ব্রাউজার বা অ্যাপ যা পাঠিয়েছে তা ওয়েবের নিয়ম মানেনি, তাই ওয়েবসাইটে পাঠানো হয়নি।
    .todo = পাতাটি আবার লোড করুন। কাজ না হলে এই সাইটের কুকি মুছুন, অথবা অন্য ব্রাউজার বা নেটওয়ার্কে চেষ্টা করুন।
    .owner = অনুরোধটি আপনার সার্ভারে পৌঁছানোর আগেই ফিরিয়ে দেওয়া হয়েছে।

visitor-forbidden = এটি খোলার অনুমতি নেই
    .happened = এই সাইট এই অনুরোধের অনুমতি দেয় না।
    .todo = আপনার অনুমতি থাকার কথা মনে হলে নিচের অনুরোধ নম্বরটি দিয়ে সাইটের লোকদের জানান।
    .owner = এই সাইটের নিজের নিয়মেই অনুরোধটি ফেরানো হয়েছে; আপনার সার্ভারে পৌঁছায়নি।

visitor-not-found = এই ঠিকানায় কিছু নেই
    .happened = ঠিকানায় বানান ভুল থাকতে পারে, অথবা পাতাটি সরে গেছে।
    .todo = ঠিকানাটি দেখে নিন, অথবা সাইটের প্রথম পাতা থেকে শুরু করুন।
    .owner = এজ নিজেই এই উত্তর দিয়েছে; আপনার সার্ভারকে জিজ্ঞাসা করা হয়নি।

visitor-method = এই সাইটে এটি করা যায় না
    .happened = অনুরোধে এমন কাজ চাওয়া হয়েছে যা এখানে নেই।
    .todo = ফিরে গিয়ে সাইটের নিজের পাতা থেকে আবার চেষ্টা করুন।
    .owner = অনুরোধের মেথডটি এখানে চলে না; আপনার সার্ভারে পৌঁছায়নি।

visitor-slow = অনুরোধটি আসতে বেশি সময় লেগেছে
    .happened = অনুরোধের একটি অংশ সময়মতো আসেনি, তাই এজ আর অপেক্ষা করেনি।
    .todo = ইন্টারনেট সংযোগ দেখে আবার চেষ্টা করুন। বড় ফাইল পাঠাতে স্থির নেটওয়ার্ক ভালো।
    .owner = প্রেরক খুব ধীরে পাঠিয়েছে বা মাঝপথে থেমে গেছে। আপনার সার্ভারের দোষ নয়।

visitor-too-large = অনুরোধটি খুব বড়
    .happened = যা পাঠানো হয়েছে তা এই সাইট যতটা নেয় তার চেয়ে বড়।
    .todo = ছোট ফাইল বা ছোট ঠিকানা পাঠান। এমন কিছু না পাঠালে এই সাইটের কুকি মুছে আবার লোড করুন।
    .owner = অনুরোধটি এজের একটি সীমা ছাড়িয়েছে। কোনটি, তা কারণে লেখা আছে; কনফিগারেশনে সীমা বদলানো যায়।

visitor-unknown-site = এই সাইট এখানে নেই
    .happened = আপনার অনুরোধ এমন একটি এজে এসেছে যা এই সাইট বহন করে না।
    .todo = ঠিকানাটি দেখে নিন। ঠিক থাকলে সাইটটি হয়তো সবে সরেছে: কয়েক মিনিট পরে চেষ্টা করুন।
    .owner = এই এজের কনফিগারেশনে কোনো সাইটে এই হোস্ট নেই। সাইটের hosts-এ যোগ করুন, অথবা DNS ঠিক করুন।

visitor-too-many = অনেক বেশি অনুরোধ
    .happened = আপনার ঠিকানা থেকে একসঙ্গে যত অনুরোধ এই সাইট নেয়, তার চেয়ে বেশি এসেছে।
    .todo = এক মিনিট অপেক্ষা করে আবার চেষ্টা করুন।
    .owner = এই প্রেরকের সীমা পূর্ণ হয়েছে। অন্যদের কোনো অসুবিধা নেই।

edge-trouble = আমাদের দিকে একটি সমস্যা হয়েছে
    .happened = যে ম্যানগ্রোভ এজ এই সাইটের অনুরোধ বহন করে, আপনার অনুরোধ সামলাতে গিয়ে সেটি ব্যর্থ হয়েছে।
    .todo = একটু পরে আবার চেষ্টা করুন। আপনার কোনো ভুল হয়নি; ওয়েবসাইটটিও হয়তো ঠিক আছে।
    .owner = এটি এজের ত্রুটি, আপনার সার্ভারের নয়। অনুরোধ নম্বর দিয়ে এজের লগে বিস্তারিত পাবেন।

edge-busy = আমরা এখন খুব ব্যস্ত
    .happened = যে ম্যানগ্রোভ এজ এই সাইটের অনুরোধ বহন করে, তাতে এই মুহূর্তে আর জায়গা নেই।
    .todo = এক মিনিট অপেক্ষা করে আবার চেষ্টা করুন। বারবার লোড করলে লাভ হবে না।
    .owner = এজ নিজের একটি সীমায় পৌঁছেছে। আরেকটি এজ যোগ করুন, অথবা কারণে লেখা সীমাটি বাড়ান।

loop = অনুরোধটি একই পথে ঘুরছে
    .happened = আপনার অনুরোধ এমন একটি এজে ফিরে এসেছে যা সে আগেই পার হয়েছিল।
    .todo = আপনার এখানে কিছু করার নেই। পরে আবার চেষ্টা করুন।
    .owner = কনফিগারেশনের একটি অরিজিন ঠিকানা এই নেটওয়ার্কেই ফিরে আসে। সেটি সরাসরি আপনার সার্ভারের দিকে দিন।

origin-unreachable = ওয়েবসাইটটি সাড়া দিচ্ছে না
    .happened = আপনার সংযোগ ও এজ ঠিক আছে, কিন্তু ওয়েবসাইটের নিজের সার্ভারে পৌঁছানো যায়নি বা সেটি মাঝপথে থেমে গেছে।
    .todo = এক মিনিট অপেক্ষা করে আবার লোড করুন। আপনার কোনো ভুল হয়নি।
    .owner = এজ আপনার সার্ভার থেকে উত্তর পায়নি। সার্ভারটি চলছে কি না, কনফিগারেশনের ঠিকানায় আছে কি না, আর এই এজকে ঢুকতে দেয় কি না দেখুন।

origin-slow = ওয়েবসাইটটি খুব বেশি সময় নিচ্ছে
    .happened = আপনার সংযোগ ও এজ ঠিক আছে, কিন্তু ওয়েবসাইটের নিজের সার্ভার সময়মতো উত্তর দেয়নি।
    .todo = এক মিনিট অপেক্ষা করে আবার লোড করুন। কোনো ফর্ম পাঠিয়ে থাকলে আগে দেখুন সেটি পৌঁছেছে কি না।
    .owner = আপনার সার্ভার অনুরোধ বা সংযোগ নিয়ে সময়সীমা পর্যন্ত চুপ ছিল। বাড়তি চাপ, ধীর কোয়েরি বা ফায়ারওয়াল আছে কি না দেখুন।

origin-busy = ওয়েবসাইটটি এখন খুব ব্যস্ত
    .happened = আপনার সংযোগ ও এজ ঠিক আছে, কিন্তু ওয়েবসাইটের নিজের সার্ভারে এই মুহূর্তে আর জায়গা নেই।
    .todo = এক মিনিট অপেক্ষা করে আবার লোড করুন। বারবার লোড করলে দেরি আরও বাড়ে।
    .owner = এজ আপনার সার্ভারে যত সংযোগ রাখতে পারে, সব বেশি সময় ব্যস্ত ছিল। সার্ভার দ্রুত করুন, অথবা সংযোগের সংখ্যা বাড়ান।

origin-garbled = ওয়েবসাইটের উত্তরটি ভাঙা
    .happened = আপনার সংযোগ ও এজ ঠিক আছে, কিন্তু ওয়েবসাইটের নিজের সার্ভার যা পাঠিয়েছে তাতে ভরসা করা যায় না।
    .todo = এক মিনিট অপেক্ষা করে আবার লোড করুন। আপনার কোনো ভুল হয়নি।
    .owner = আপনার সার্ভারের উত্তর HTTP-র নিয়ম এমনভাবে ভেঙেছে যে পাঠানো বিপজ্জনক। দর্শককে তার কিছুই পাঠানো হয়নি।

# Each named reason, in one sentence. A dot in a name is written as an underscore. Where a request and an origin's answer
# can break the same rule, the sentence fits both; where one name means two things, `visitor-reason-…` is the visitor's.

reason-absent-host = অনুরোধে কোন হোস্টের জন্য তা লেখা নেই; একটি Host ফিল্ড পাঠান।
reason-absolute-form-disagrees = অনুরোধের প্রথম লাইনের URL আর Host ফিল্ড দুই জায়গার নাম বলে; এক করুন।
reason-authority-disagrees = :authority আর Host দুই হোস্টের নাম বলে; এক করুন।
reason-bare-cr = CR অক্ষরের পরে LF নেই; লাইন CR LF দিয়ে শেষ করুন।
reason-bare-lf = LF অক্ষরের আগে CR নেই; লাইন CR LF দিয়ে শেষ করুন।
reason-bare-lf-in-chunk = খণ্ডের (chunk) একটি লাইন শুধু LF দিয়ে শেষ হয়েছে; CR LF দিন।
reason-body-ended-early = বডি শেষ হওয়ার আগেই সংযোগ শেষ হয়েছে; পুরোটা পাঠান।
reason-body-timeout = বডি আসা থেমে গেছে বা খুব ধীরে এসেছে; আরও দ্রুত পাঠান।
reason-body-too-large = বডি সীমার চেয়ে বড়; ছোট করে পাঠান।
reason-body-where-none-belongs = যে উত্তরের বডি থাকে না (HEAD, 1xx, 204 বা 304), তার পরে বাইট এসেছে।
reason-breaker-open = অরিজিন একটু আগে বারবার ব্যর্থ হয়েছে, তাই তাকে কিছু সময় দেওয়া হচ্ছে।
reason-chunk-extension-too-long = খণ্ডের (chunk) বাড়তি অংশ এজ যতটা পড়ে তার চেয়ে লম্বা।
reason-chunk-size-too-large = খণ্ডের (chunk) মাপে ১৬টির বেশি অঙ্ক আছে।
reason-client-closed = উত্তর শেষ হওয়ার আগেই দর্শক সংযোগ বন্ধ করেছেন।
reason-client-reset = দর্শক স্ট্রিম বা সংযোগ বাতিল করেছেন।
reason-connect-failed = এজ থেকে অরিজিনে পৌঁছানো যায় না; নেটওয়ার্ক ও ঠিকানা দেখুন।
reason-connect-refused = অরিজিন সংযোগ নেয়নি; সেটি চলছে কি না এবং ওই ঠিকানায় শুনছে কি না দেখুন।
reason-connect-timeout = অরিজিন সময়মতো সংযোগ নেয়নি; ঠিকানা ও ফায়ারওয়াল দেখুন।
reason-connection-nominates-protected-field = Connection ফিল্ডে এমন ফিল্ডের নাম আছে যা সবার দরকার, যেমন Content-Length।
reason-connection-specific-field = অনুরোধে HTTP/1 সংযোগের ফিল্ড আছে, যেমন Connection বা Upgrade; বাদ দিন।
reason-content-length-beside-transfer-encoding = Content-Length আর Transfer-Encoding পরস্পরবিরোধী; একটি পাঠান।
reason-content-length-disagrees = বডির দৈর্ঘ্য Content-Length-এর সঙ্গে মেলে না।
reason-control-in-head = হেডারে নিয়ন্ত্রণ অক্ষর (control character) আছে।
reason-drained = এজ বন্ধ হচ্ছিল এবং কাজটি সময়ের মধ্যে শেষ হয়নি।
reason-empty-field-name = হেডারের একটি লাইনে কোলনের আগে নাম নেই।
reason-ended-early = ঘোষিত দৈর্ঘ্যের আগেই উত্তর শেষ হয়েছে; অরিজিনের লগ দেখুন।
reason-expectation-failed = Expect ফিল্ডে 100-continue ছাড়া অন্য কিছু আছে; বাদ দিন।
reason-extra-bytes-after-body = উত্তরের শেষে এমন বাইট এসেছে যা কেউ চায়নি।
reason-first-byte-timeout = অরিজিন সময়মতো উত্তর শুরু করেনি; চাপ দেখুন, অথবা সময়সীমা বাড়ান।
reason-folded-field = হেডারের একটি লাইন ফাঁকা জায়গা দিয়ে শুরু; মানটি এক লাইনে লিখুন।
reason-fragment-in-target = ঠিকানায় # চিহ্ন আছে; %23 লিখুন।
reason-framing-without-body = 1xx বা 204 উত্তর বডির কথা বলে, যা তার থাকতে পারে না।
reason-head-timeout = হেডার সময়মতো আসেনি।
reason-head-too-large = হেডার এজ যতটা পড়ে তার চেয়ে বড় (প্রায়ই কুকির কারণে)।
reason-http-2 = অরিজিন HTTP/2-র নিয়ম ভেঙেছে বা স্ট্রিম বাতিল করেছে।
reason-http2-compression-error = HTTP/2 সংযোগের একটি হেডার খোলা (decompress) যায়নি।
reason-http2-continuation-flood = HTTP/2 সংযোগে হেডার প্রয়োজনের চেয়ে বেশি টুকরোয় এসেছে।
reason-http2-empty-data-flood = HTTP/2 সংযোগে একটার পর একটা খালি DATA ফ্রেম এসেছে।
reason-http2-flood = HTTP/2 সংযোগটি যা চেয়েছে তার চেয়ে বেশি খরচ করিয়েছে: অন্তহীন রিসেট, ভুল অনুরোধ, CONTINUATION বা খালি ফ্রেম।
reason-http2-flow-control-error = HTTP/2 সংযোগে উইন্ডো যতটা দেয় তার চেয়ে বেশি এসেছে, অথবা উইন্ডো খুব বেশি খোলা হয়েছে।
reason-http2-forced-resets = HTTP/2 ক্লায়েন্ট এত স্ট্রিমে নিয়ম ভেঙেছে, যেগুলো সব বাতিল করতে হয়েছে, যে তার সংযোগ শেষ করা হয়েছে।
reason-http2-frame-size-error = HTTP/2 সংযোগের একটি ফ্রেমের দৈর্ঘ্য ভুল।
reason-http2-malformed-message = HTTP/2 অনুরোধটি ঠিকভাবে গঠিত নয়: একটি pseudo-header, সংযোগের একটি ফিল্ড, অথবা বডির সঙ্গে না মেলা দৈর্ঘ্য।
reason-http2-ping-flood = HTTP/2 সংযোগে একটি ক্লায়েন্টের যত PING পাঠানোর কারণ থাকে তার চেয়ে বেশি এসেছে।
reason-http2-priority-flood = HTTP/2 সংযোগে অনুরোধের তুলনায় অগ্রাধিকার অনেক বেশিবার বদলানো হয়েছে।
reason-http2-protocol-error = HTTP/2 সংযোগটি প্রোটোকলের নিয়ম ভেঙেছে।
reason-http2-reset-flood = HTTP/2 সংযোগে একটি ক্লায়েন্টের যত স্ট্রিম বাতিল করার কারণ থাকে তার চেয়ে বেশি বাতিল করা হয়েছে।
reason-http2-settings-flood = HTTP/2 সংযোগে একটি ক্লায়েন্টের যত SETTINGS পাঠানোর কারণ থাকে তার চেয়ে বেশি এসেছে।
reason-http2-stream-closed = শেষ হয়ে যাওয়া একটি HTTP/2 স্ট্রিমে ফ্রেম এসেছে।
reason-http2-too-many-streams = এজ যতগুলো দেয় তার চেয়ে বেশি HTTP/2 স্ট্রিম একসঙ্গে খোলা হয়েছে।
reason-http2-unknown-frame-flood = HTTP/2 সংযোগে একটার পর একটা অচেনা ধরনের ফ্রেম এসেছে।
reason-http2-tiny-window-flood = HTTP/2 সংযোগে উত্তরটি একের পর এক শুধু খুব ছোট টুকরোয় নেওয়া হচ্ছিল।
reason-http2-window-flood = HTTP/2 সংযোগে যা পাঠানো হয়েছে তার তুলনায় উইন্ডো অনেক বেশিবার খোলা হয়েছে।
reason-idle-timeout = উত্তরের মাঝখানে অরিজিন পাঠানো থামিয়ে দিয়েছে; চাপ দেখুন।
reason-internal-error = এজের ভেতরেই কিছু ভুল হয়েছে; অনুরোধ নম্বর দিয়ে লগে পাওয়া যাবে।
reason-kept-content-lost = সংরক্ষিত অংশের বাকিটা ডিস্ক থেকে আর পড়া যায়নি; আবার চাইলে তা ওয়েবসাইট থেকে আসবে।
reason-listed-content-length = Content-Length একটি তালিকা; একটি সংখ্যা পাঠান।
reason-loop-detected = অনুরোধটি এই নেটওয়ার্ক একবার পার হয়েছে; একটি অরিজিন এজের দিকেই ফিরে আসে।
reason-made-room = এই এজে যত সংযোগ থাকতে পারে, সব ছিল; সবচেয়ে ধীর সংযোগটি জায়গা ছেড়েছে।
reason-malformed-authority = :authority ঠিক হোস্ট ও পোর্ট নয়।
reason-malformed-cdn-loop = CDN-Loop ফিল্ডটি ঠিক তালিকা নয়; বাদ দিন।
reason-malformed-chunk-ending = খণ্ডের (chunk) তথ্যের পরে CR LF নেই।
reason-malformed-chunk-size = খণ্ডের (chunk) শুরুতে হেক্সাডেসিমাল মাপ নেই।
reason-malformed-connection = Connection ফিল্ডটি শব্দের ছোট তালিকা নয়।
reason-malformed-content-length = Content-Length সাধারণ দশমিক সংখ্যা নয়।
reason-malformed-field-name = হেডারের একটি লাইনে কোলন নেই, অথবা নামে এমন অক্ষর আছে যা চলে না।
reason-malformed-host = হোস্টটি নাম, IPv4 বা বন্ধনীর মধ্যে IPv6 ঠিকানা নয়।
reason-malformed-method = মেথডের নামটি ঠিক নয়।
reason-malformed-path = পথটি ফাঁকা, / দিয়ে শুরু নয়, অথবা তাতে এমন অক্ষর আছে যা % দিয়ে লিখতে হয়।
reason-malformed-proxy-protocol = সংযোগটির PROXY প্রোটোকল দিয়ে শুরু হওয়ার কথা ছিল; লোড ব্যালান্সার ঠিক করুন।
reason-malformed-request-line = প্রথম লাইনটি METHOD target HTTP/1.1 আকারে নয়।
reason-malformed-scheme = স্কিম http বা https নয়।
reason-malformed-status = স্ট্যাটাস ১০০ থেকে ৫৯৯-এর মধ্যে তিন অঙ্ক নয়।
reason-malformed-status-line = প্রথম লাইনটি HTTP/1.1 200 OK আকারে নয়; পোর্টটি HTTP বলে কি না দেখুন।
reason-malformed-target = অনুরোধের লক্ষ্য পথ বা URL নয়; সাধারণ ASCII ছাড়া অক্ষর % দিয়ে লিখুন।
reason-malformed-trailer = শেষ খণ্ডের পরের একটি লাইন ঠিক ফিল্ড নয়।
reason-malformed-upgrade = WebSocket শুরু করার অনুরোধ অসম্পূর্ণ।
reason-method-not-allowed = এই মেথড এখানে চলে না; যেগুলো চলে তা Allow ফিল্ডে আছে।
reason-method-too-long = মেথডের নাম জানা যেকোনোটির চেয়ে লম্বা।
reason-misdirected-request = এই সংযোগে ওই হোস্টের উত্তর দেওয়া যায় না; নতুন সংযোগ খুলুন।
reason-misordered-pseudo-field = একটি pseudo-header সাধারণ ফিল্ডের পরে এসেছে।
reason-missing-pseudo-field = অনুরোধে :method, :scheme বা :path নেই।
reason-module-failed = এজের এমন একটি ধাপ ব্যর্থ হয়েছে যা বাদ দেওয়া যায় না।
reason-name-not-resolved = অরিজিনের নামের কোনো ঠিকানা পাওয়া যায়নি; তার DNS দেখুন।
reason-no-healthy-origin = সাইটের সব অরিজিন অসুস্থ বলে চিহ্নিত; স্বাস্থ্য পরীক্ষা (health check) দেখুন।
reason-not-found = এমন কোনো পাতা নেই।
reason-nul-in-head = হেডারে NUL বাইট আছে।
reason-only-if-cached = অনুরোধটি শুধু ক্যাশে রাখা উত্তর চায়, আর ক্যাশে তা নেই।
reason-protocol-sniff-timeout = নতুন সংযোগে কিছুই আসেনি।
reason-protocol-without-connect = :protocol ফিল্ড শুধু CONNECT-এর সঙ্গে চলে।
reason-queue-timeout = অরিজিনের সব সংযোগ বেশি সময় ব্যস্ত ছিল; সংখ্যা বাড়ান, অথবা অরিজিন দ্রুত করুন।
reason-rate-limited = এই সময়ে একজন এই ওয়েবসাইটে যতটা চাইতে পারে তার চেয়ে বেশি চাওয়া হয়েছে; Retry-After-এ লেখা সময়ের পরে আবার চেষ্টা করুন।
reason-rate-limited-no-room = এই সময়ে একজন এই ওয়েবসাইটে যতটা চাইতে পারে তার চেয়ে বেশি চাওয়া হয়েছে, আর যত অনুরোধ নিজের পালার জন্য অপেক্ষা করতে পারে তত অনুরোধ এখনই অপেক্ষা করছে; Retry-After-এ লেখা সময়ের পরে আবার চেষ্টা করুন।
reason-rate-limited-closed = এই সময়ে একজন এই ওয়েবসাইটে যতটা চাইতে পারে তার চেয়ে বেশি চাওয়া হয়েছে, তাই তার সংযোগ শেষ করা হয়েছে।
reason-repeated-content-length = একাধিক Content-Length ফিল্ড আছে; একটি পাঠান।
reason-repeated-host = একাধিক Host ফিল্ড আছে; একটি পাঠান।
reason-repeated-pseudo-field = একটি pseudo-header দুবার আছে।
reason-repeated-transfer-encoding = একাধিক Transfer-Encoding ফিল্ড আছে; একটি পাঠান।
reason-request-body-too-slow = অনুরোধের বডি সর্বনিম্ন গতির চেয়ে ধীরে এসেছে।
reason-reset = উত্তর দেওয়ার আগেই অরিজিন সংযোগ শেষ করেছে; তার লগে ক্র্যাশ বা রিস্টার্ট আছে কি না দেখুন।
reason-response-read-too-slow = উত্তরটি সর্বনিম্ন গতির চেয়ে ধীরে নেওয়া হয়েছে।
reason-response-write-timeout = উত্তরটি সময়মতো নেওয়া হয়নি।
reason-space-around-value = একটি ফিল্ডের মান ফাঁকা জায়গা দিয়ে শুরু বা শেষ।
reason-space-before-colon = ফিল্ডের নাম আর কোলনের মাঝে ফাঁকা জায়গা আছে।
reason-target-too-long = ঠিকানাটি এজ যতটা পড়ে তার চেয়ে লম্বা।
reason-te-other-than-trailers = TE ফিল্ডে trailers ছাড়া অন্য কিছু আছে।
reason-tls-certificate = অরিজিনের সার্টিফিকেট তার নামের জন্য বৈধ নয়; নবায়ন করুন, অথবা কোন নাম বা CA আশা করতে হবে তা লিখুন।
reason-tls-handshake = অরিজিনের সঙ্গে TLS শুরু হয়নি; পোর্টটি TLS 1.2 বা 1.3 বলে কি না দেখুন।
reason-tls-handshake-failed = TLS শুরু করা যায়নি।
reason-tls-handshake-timeout = TLS শুরু হতে বেশি সময় লেগেছে।
reason-too-many-connections = এই এজে যত সংযোগ থাকতে পারে, সব আছে।
reason-too-many-fields = হেডারে এজ যতগুলো পড়ে তার চেয়ে বেশি লাইন আছে।
reason-too-many-handshakes = এই এজ একসঙ্গে যতগুলো TLS সংযোগ শুরু করতে পারে, তার চেয়ে বেশি চাওয়া হয়েছে।
reason-too-many-interim = অরিজিন এজ যতগুলো পাঠায় তার চেয়ে বেশি 1xx উত্তর দিয়েছে।
reason-trailers-too-large = বডির শেষের ফিল্ডগুলো এজ যতটা পড়ে তার চেয়ে বেশি বা বড়।
reason-transfer-encoding-in-http-1_0 = HTTP/1.0-এ Transfer-Encoding নেই।
reason-transfer-encoding-not-chunked = Transfer-Encoding ঠিক chunked নয়।
reason-unexpected-switch = কোনো আপগ্রেড চাওয়া হয়নি, তবু অরিজিন 101 উত্তর দিয়েছে।
reason-unknown-host = এই এজে ওই হোস্টের কোনো সাইট নেই; ঠিকানা দেখুন, অথবা নামটি সাইটের hosts-এ যোগ করুন।
reason-unknown-pseudo-field = অনুরোধে অজানা pseudo-header আছে।
reason-unknown-version = সংস্করণটি HTTP/1.0 বা HTTP/1.1 নয়।
reason-upgrade-failed = অরিজিনের 101 উত্তর শুরু করা হ্যান্ডশেক শেষ করে না।
reason-upgrade-idle = আপগ্রেড করা সংযোগ অনেকক্ষণ চুপ ছিল।
reason-upgrade-not-allowed = ওই প্রোটোকল এই সাইটে নেই; HTTP চালিয়ে যান।
reason-uppercase-field-name = ফিল্ডের নামে বড় হাতের অক্ষর আছে; HTTP/2 ছোট হাতের নাম পাঠায়।
reason-websocket-flood = WebSocket-এ এই সময়ে একজনের যতগুলো ফ্রেম পাঠানোর কথা, তার চেয়ে বেশি এসেছে।
reason-websocket-malformed = WebSocket-এ যা এসেছে তা WebSocket-এর ফ্রেম নয়।
reason-websocket-message-too-long = WebSocket-এর একটি বার্তা এজ যতটা পাঠায় তার চেয়ে লম্বা।
reason-websocket-version = WebSocket-এর সংস্করণ ১৩ নয়।
reason-write-timeout = অরিজিন অনুরোধ পড়া থামিয়ে দিয়েছে; চাপ দেখুন।

reason-blocked-by-hand = যাঁরা এই ওয়েবসাইট চালান, তাঁরা এই অনুরোধের ঠিকানা বা নেটওয়ার্কের জন্য এটি কিছু সময়ের জন্য বন্ধ রেখেছেন।
reason-connect-method-refused = এই সার্ভার সুড়ঙ্গ নয়; CONNECT দেওয়া হয় না।
reason-purge-not-allowed = PURGE শুধু সাইটের purge_from তালিকার ঠিকানা থেকে নেওয়া হয়।
